"""Small files arrive in memory, for aria2 syncs every file that it closes.

It calls fsync (`RequestGroup::closeFile`, aria2 1.36) in the one thread that serves all of its downloads. On a disk
that takes 5 ms for it, 2,000 small files cost ten seconds in which nothing else moves. And nothing is gained: files are
synced before they are placed, a whole batch at once.

A memory file (memfd_create(2), Linux) has no name on any disk and is gone with this process. aria2 opens it as
`/proc/<pid>/fd/<number>`, which an aria2c of our own may, being of the same user.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.system.folders import open_fresh

MOST_FILES = 256
MOST_BYTES = 32 << 20
"""What may be in memory at once, if all senders keep to the sizes that are listed."""


class MemoryFile:
    """Where one download goes. Raises OSError."""

    def __init__(self, pool: MemoryFiles, size: int) -> None:
        self._pool = pool
        self._size = size
        self._fd = os.memfd_create("glm-aria", os.MFD_CLOEXEC)
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._fd}")

    def move_to(self, part: Path) -> None:
        """Write what is here, up to the listed size, to `part`, which is not left half written."""
        with os.fdopen(open_fresh(part), "wb") as out:
            try:
                out.write(os.pread(self._fd, self._size, 0))
                out.flush()
            except BaseException:
                part.unlink()
                raise

    def close(self) -> None:
        """Give the memory back."""
        os.close(self._fd)
        self._pool.files -= 1
        self._pool.bytes -= self._size


class MemoryFiles:
    """Opens memory files, as many as there may be; none where `is_usable` is, or becomes, false. `files` and `bytes`
    count what is open."""

    def __init__(self, *, is_usable: bool) -> None:
        self.is_usable = is_usable and hasattr(os, "memfd_create")
        self.files = self.bytes = 0

    def open(self, size: int) -> MemoryFile | None:
        """A memory file for `size` bytes; None when they have to go to the disk."""
        if not self.is_usable or self.files >= MOST_FILES or self.bytes + size > MOST_BYTES:
            return None
        try:
            made = MemoryFile(self, size)
        except OSError:  # no more open files for this process
            return None
        self.files += 1
        self.bytes += size
        return made
