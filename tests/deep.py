"""Folders in each other, more than the stack of Python takes calls."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

DEPTH = 300
STACK = 200
"""Calls that Python takes from here on: as many folders as its usual stack takes calls cost seconds, as each path of
them is long."""


@contextlib.contextmanager
def deep(top: Path) -> Iterator[Path]:
    """The last of `DEPTH` folders below `top`, and a stack of `STACK` calls; afterwards all are gone, as what removes
    trees fails at them, too."""
    usual, made = sys.getrecursionlimit(), [top]
    for _ in range(DEPTH):
        made.append(made[-1] / "d")
        made[-1].mkdir()
    sys.setrecursionlimit(_calls() + STACK)
    try:
        yield made[-1]
    finally:
        sys.setrecursionlimit(usual)
        for folder in reversed(made[1:]):
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()


def _calls() -> int:
    """The calls that Python is in."""
    frame: FrameType | None = sys._getframe()
    count = 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count
