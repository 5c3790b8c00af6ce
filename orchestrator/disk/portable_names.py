"""Names that a file system can hold: tried by making them, since no system call tells."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from orchestrator.system.failures import on_disk

# How file systems say that a name is none for them: vfat and exFAT, NTFS, ZFS with utf8only, network file systems.
_NO_NAME = {errno.EINVAL, errno.EILSEQ, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EPROTO, errno.EIO}


def can_hold(folder: Path, names: Iterable[str]) -> bool:
    """True when the existing `folder` can hold files of these names side by side.

    The names are tried in a scratch folder in it, which inherits its rules about letters and is gone again when this
    returns. Another normal form of a name is the same name. Raises per `system.failures` where nothing can be made.
    """
    wanted = set(names)
    with on_disk("create", folder):
        scratch = tempfile.mkdtemp(prefix="scratch-names-", dir=folder)
    try:
        for name in wanted:
            try:
                os.close(os.open(os.path.join(scratch, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # noqa: PTH118 - a Path would drop what is tried here
            except OSError as error:
                if isinstance(error, FileExistsError) or error.errno in _NO_NAME:
                    return False
                with on_disk("create", folder):
                    raise
        return sorted(map(_form, os.listdir(scratch))) == sorted(map(_form, wanted))  # noqa: PTH208 - names only
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)
