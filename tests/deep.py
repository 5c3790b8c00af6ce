"""Folders in each other, more than the stack of Python takes calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

DEPTH = 1200


@contextlib.contextmanager
def deep(top: Path) -> Iterator[Path]:
    """The last of `DEPTH` folders below `top`; afterwards all are gone, as what removes trees fails at them, too."""
    made = [top]
    for _ in range(DEPTH):
        made.append(made[-1] / "d")
        made[-1].mkdir()
    try:
        yield made[-1]
    finally:
        for folder in reversed(made[1:]):
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()
