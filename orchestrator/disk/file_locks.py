"""huggingface_hub's locks on blobs.

We wait where huggingface_hub is at work on the same one. huggingface_hub 2.4 holds
`filelock.FileLock(.locks/<folder>/<etag>.lock, mode=0o664)`, which is flock(2) on a file that is never removed. So
where there is no such file nobody holds the lock, and none is made: that would cost a third of placing 2,000 small
files. Nothing here is needed for correctness: files appear by rename, whoever renames.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.disk.folders import Folder

_PAUSE = 0.01


@dataclass(slots=True)
class Patience:
    """How long a run waits for locks on blobs, in all: `seconds` are left.

    Another process may hold thousands of them, and waiting is a courtesy. Shared by threads, which may wait a little
    longer together.
    """

    seconds: float = 1.0


@contextlib.contextmanager
def blob_lock(path: str | Path, patience: Patience | None = None, *, create_in: Folder | None = None) -> Iterator[bool]:
    """Hold the lock file `path` if it exists; yields whether it is held.

    With `create_in` it is an entry of that open folder, and made if it does not exist. It is not held when another
    process keeps it for longer than our patience (one that downloads the blob holds it for hours, and our blob is
    already verified; without patience there is no waiting), nor where the file system knows no locks, or forbids us
    the file.
    """
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create_in else 0)
    try:
        # The mode that huggingface_hub gives it.
        fd = os.open(path, flags, 0o664, dir_fd=create_in.fd if create_in else None)
    except OSError:
        yield False
        return
    try:
        yield _lock(fd, patience or Patience(0))
    finally:
        os.close(fd)


def _lock(fd: int, patience: Patience) -> bool:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or patience.seconds <= 0:
                return False
            begun = time.monotonic()
            time.sleep(_PAUSE)
            patience.seconds -= time.monotonic() - begun
        else:
            return True
