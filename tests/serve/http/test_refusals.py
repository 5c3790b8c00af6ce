"""Errors in the Hub's words: which of them a client shall ask again after."""

from __future__ import annotations

import pytest

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
