"""Dropped bytes of a part: their hashes, to compare with the verified file later."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.extents import Extent
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.platform.places import read_at
from orchestrator.system.failures import on_disk

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class DroppedRange:
    """`source` sent bytes with this hash for the range `start` to `end`."""

    source: str
    start: int
    end: int
    hash: bytes


def note(part: Path, extents: Iterable[Extent]) -> tuple[DroppedRange, ...]:
    """Hash what lies in these extents of a part. Reads them all. Raises DiskIOError."""
    return tuple(
        DroppedRange(source, start, end, found)
        for source, start, end, found in _hashes(
            part,
            (
                (extent.source, start, min(start + _CHUNK, extent.end))
                for extent in extents
                for start in range(extent.start, extent.end, _CHUNK)
            ),
        )
    )


def differing(proven: Path, dropped: Iterable[DroppedRange]) -> tuple[DroppedRange, ...]:
    """Of what was dropped, what differs from the proven file. Raises DiskIOError."""
    noted = tuple(dropped)
    found = _hashes(proven, ((one.source, one.start, one.end) for one in noted))
    return tuple(one for one, (_, _, _, true) in zip(noted, found, strict=True) if one.hash != true)


def _hashes(path: Path, ranges: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int, bytes]]:
    with on_disk("read", path):
        fd = os.open(path, os.O_RDONLY | CLOEXEC | NOFOLLOW)
        try:
            for source, start, end in ranges:
                yield source, start, end, hashlib.sha256(read_at(fd, end - start, start)).digest()
        finally:
            os.close(fd)
