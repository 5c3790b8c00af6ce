"""Errors in the Hub's words: which of them a client shall ask again after."""

from __future__ import annotations

import errno
from pathlib import Path, PurePath

import pytest

from orchestrator.disk import space
from orchestrator.errors import (
    DaemonError,
    DiskIOError,
    GlmAriaError,
    Interrupted,
    NoSpaceError,
    NotAllowedError,
    NotFoundError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.serve.http.refusals import refusal_of
from orchestrator.system.failures import translate


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("no such repo"), 404),
        (NotAllowedError("it is gated"), 403),
        (NoSpaceError("the disk is full"), 507),
        (DiskIOError("the disk failed"), 502),
    ],
)
def test_what_does_not_pass_by_itself_is_not_to_be_asked_for_again(error: GlmAriaError, status: int) -> None:
    refused = refusal_of(error)
    assert refused.status == status
    assert "Retry-After" not in refused.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SourcesDownError("the root does not answer"), 503),
        (TemporaryError("it is busy"), 429),
        (DaemonError("aria2c is gone"), 429),
        (Interrupted(15), 429),
    ],
)
def test_what_passes_is_to_be_asked_for_again(error: GlmAriaError, status: int) -> None:
    refused = refusal_of(error)
    assert refused.status == status
    assert int(refused.headers["Retry-After"]) > 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EEXIST, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("path", ["/srv/secret/hub/blob", "/srv/se cret/it's/blob", "/srv/secret/hub/bl\nob"])
def test_a_client_is_not_told_where_the_files_of_the_server_are(code: int, path: str) -> None:
    message = refusal_of(translate(OSError(code, "it failed", path), "open", path)).message
    assert "srv" not in message
    assert "it failed" in message
    assert PurePath(path).name.partition("\n")[0] in message


def test_a_client_is_not_told_where_there_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(NoSpaceError) as raised:
        space.check(1 << 60, tmp_path)
    assert str(tmp_path.parent) not in refusal_of(raised.value).message


def test_what_a_client_asked_for_stays_as_it_is() -> None:
    assert refusal_of(NotFoundError("no 'a/b.txt' in 'org/m@main'")).message == "no 'a/b.txt' in 'org/m@main'"
