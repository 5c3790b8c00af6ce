"""System calls of Linux that Python does not have."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable


@functools.cache
def system_call(name: str, arguments: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name.

    `arguments` are i, I, L and s for int, unsigned int, int64 and bytes. A result below 0 is that of an error, which
    `last_error` tells.
    """
    if sys.platform == "win32":
        return None
    import ctypes

    types = {"i": ctypes.c_int, "I": ctypes.c_uint, "L": ctypes.c_int64, "s": ctypes.c_char_p}
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
    function.argtypes = [types[letter] for letter in arguments]
    return lambda *given: int(function(*given))


def last_error() -> OSError:
    """The error of the last call in this thread."""
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
