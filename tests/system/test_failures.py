"""Each OSError has one meaning, and names its file."""

import errno
import os
from pathlib import Path

import pytest

from orchestrator.errors import CannotCreateError, DiskIOError, GlmAriaError, NoSpaceError
from orchestrator.system.failures import on_disk, translate


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EROFS, CannotCreateError),
        (errno.EACCES, CannotCreateError),
        (errno.EPERM, CannotCreateError),
        (errno.EEXIST, CannotCreateError),
        (errno.ENOTDIR, CannotCreateError),
        (errno.EIO, DiskIOError),
        (errno.EMFILE, DiskIOError),
        (errno.ENOENT, DiskIOError),
        (errno.ESTALE, DiskIOError),
    ],
)
def test_every_os_error_has_one_meaning(number: int, kind: type[GlmAriaError]) -> None:
    error = translate(OSError(number, os.strerror(number), "a/b"), "place", "c")
    assert type(error) is kind
    assert "'a/b'" in error.message
    assert error.file == "a/b"
    assert error.hint
    with pytest.raises(kind, match="cannot place 'c'") as raised, on_disk("place", Path("c")):
        raise OSError(number, os.strerror(number))
    assert isinstance(raised.value.__cause__, OSError)


def test_a_rename_error_names_its_target() -> None:
    assert translate(OSError(1, "x", "source", None, "target"), "place", "c").file == "target"


def test_what_is_no_os_error_passes() -> None:
    with pytest.raises(KeyError), on_disk("place", "c"):
        raise KeyError
