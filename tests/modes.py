"""Modes of files that hold for root, too: `with modes_hold(): …` in this thread alone."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = 0x20080522
_OVER_MODES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


@contextmanager
def modes_hold() -> Iterator[None]:
    """Without the right to read and write what modes forbid."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()

    def call(function: str) -> None:
        if getattr(libc, function)(head, sets):
            raise OSError(ctypes.get_errno(), function)

    call("capget")
    effective = sets[0]
    sets[0] = effective & ~_OVER_MODES
    call("capset")
    try:
        yield
    finally:
        sets[0] = effective
        call("capset")
