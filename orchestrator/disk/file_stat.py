"""Stats of files, many of them."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

_STAT = struct.Struct("QQqqqqIII")


class StatLike(Protocol):
    """The owner of a file and its last change, as an `os.stat_result` tells them, or less than that."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a file and its content: size in bytes, mtime in ns, inode, device."""

    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        """The identity in a stat."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)

    @classmethod
    def at(cls, path: Path, *, follow: bool = True) -> Identity | None:
        """The identity of what lies there, or without `follow` of a link itself; None when it cannot be looked at."""
        try:
            return cls.of(path.stat(follow_symlinks=follow))
        except OSError:
            return None


class FileStat(bytes):
    """The needed part of the stat of a file, packed: 93 bytes where an `os.stat_result` has 640."""

    __slots__ = ()

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Take it from the whole."""
        times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        owner = (found.st_mode, found.st_uid, found.st_nlink)
        return cls(_STAT.pack(found.st_dev, found.st_ino, found.st_size, *times, *owner))

    def _part(self, index: int) -> int:
        return int(_STAT.unpack(self)[index])

    @property
    def st_dev(self) -> int:
        """As in `os.stat_result`."""
        return self._part(0)

    @property
    def st_ino(self) -> int:
        """As in `os.stat_result`."""
        return self._part(1)

    @property
    def st_size(self) -> int:
        """As in `os.stat_result`."""
        return self._part(2)

    @property
    def st_atime_ns(self) -> int:
        """As in `os.stat_result`."""
        return self._part(3)

    @property
    def st_mtime_ns(self) -> int:
        """As in `os.stat_result`."""
        return self._part(4)

    @property
    def st_ctime_ns(self) -> int:
        """As in `os.stat_result`."""
        return self._part(5)

    @property
    def st_mode(self) -> int:
        """As in `os.stat_result`."""
        return self._part(6)

    @property
    def st_uid(self) -> int:
        """As in `os.stat_result`."""
        return self._part(7)

    @property
    def st_nlink(self) -> int:
        """As in `os.stat_result`."""
        return self._part(8)

    @property
    def inode(self) -> bytes:
        """The identity that two names of the same bytes share: device and inode."""
        return self[:16]

    @property
    def last_use(self) -> float:
        """Unix seconds of the last read or write, as the file system tells; huggingface_hub takes the same."""
        return max(self.st_atime_ns, self.st_mtime_ns) / 1e9
