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
from pathlib import Path

_PAUSE = 0.01


@contextlib.contextmanager
def blob_lock(path: Path, *, patience: float = 1.0, create: bool = False) -> Iterator[bool]:
    """Hold the lock file `path` if it exists, or with `create` in any case; yields whether it is held.

    It is not when another process keeps it for longer than `patience` seconds (one that downloads the blob holds it
    for hours, and our blob is already verified), nor where the file system knows no locks, or forbids us the file.
    """
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags |= os.O_CREAT
        # The mode that huggingface_hub gives it.
        fd = os.open(path, flags, 0o664)
    except OSError:
        yield False
        return
    try:
        yield _lock(fd, time.monotonic() + patience)
    finally:
        os.close(fd)


def _lock(fd: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True
