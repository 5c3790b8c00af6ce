"""How fast a disk takes bytes: measured with a file that has no name and is gone at once."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from orchestrator.disk.space import space

_BLOCK = 1 << 20


def write_rate(path: Path, *, most: int = 48 << 20, seconds: float = 1.0) -> float | None:
    """Bytes/s that the disk of `path` takes, with fsync; None where nothing can be written there.

    `path` need not exist: the nearest folder above it is used. At most `most` bytes, half of what is free, and about
    `seconds` (a last fsync may take longer).
    """
    at = path
    while not at.is_dir() and at != at.parent:
        at = at.parent
    block = os.urandom(_BLOCK)
    try:
        room = min(most, space(at).free // 2)
        with tempfile.TemporaryFile(dir=at, buffering=0) as file:
            begun, sent = time.monotonic(), 0
            while sent + _BLOCK <= room and time.monotonic() - begun < seconds:
                sent += file.write(block)
                if sent % (8 * _BLOCK) == 0:
                    os.fdatasync(file.fileno())
            os.fsync(file.fileno())
            return sent / max(time.monotonic() - begun, 1e-4) if sent else None
    except Exception:  # noqa: BLE001 - read-only, full, failing: all the same answer
        return None
