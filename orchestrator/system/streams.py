"""The three standard streams: open from the start, in every environment, and able to encode every name."""

from __future__ import annotations

import io
import locale
import os
import sys
from contextlib import suppress
from typing import TextIO

_MODES = {0: os.O_RDONLY, 1: os.O_WRONLY, 2: os.O_WRONLY}


class Nowhere(io.TextIOWrapper):
    """Stands in for a standard stream that was closed: reads as empty, and keeps nothing."""


def fill_missing() -> None:
    """Open the null device in place of each standard stream that is closed, as by `2>&-`.

    To be called before a file is opened: a file of ours would get the free number, and with it what this process and
    its children say.
    """
    for number, mode in _MODES.items():
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened == number:
                os.set_inheritable(number, True)
            else:
                os.dup2(opened, number)
                os.close(opened)
    # Python has None where there was no stream when it started.
    sys.stdin = sys.stdin or _nowhere(0)
    sys.stdout = sys.stdout or _nowhere(1)
    sys.stderr = sys.stderr or _nowhere(2)


def _nowhere(number: int) -> Nowhere:
    binary = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
    buffer = io.BufferedReader(binary) if number == 0 else io.BufferedWriter(binary)
    return Nowhere(buffer, encoding="utf-8", errors="backslashreplace")


def is_missing(stream: object) -> bool:
    """True for a standard stream that was closed when the program started."""
    return isinstance(stream, Nowhere)


def let_names_through() -> None:
    """Let names that no encoding has through: stdout as the same bytes, stderr spelled out.

    A terminal of another encoding, such as GBK, gets that; a file and a pipe get UTF-8, in which names are on the disk.
    """
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            encoding = _of_terminal(stream)
            # What a terminal cannot show is spelled out.
            stream.reconfigure(encoding=encoding, errors="backslashreplace" if encoding else errors)


def _of_terminal(stream: TextIO) -> str | None:
    encoding = locale.getencoding()
    if sys.flags.utf8_mode and encoding.lower() not in _UNIVERSAL and stream.isatty():
        return encoding
    return None


# In an ASCII locale there is nothing to lose by UTF-8.
_UNIVERSAL = ("utf-8", "utf8", "ascii", "us-ascii", "ansi_x3.4-1968", "646")


def spell_all_names() -> None:
    """Start Python again in its UTF-8 mode where it would spell file names in another encoding.

    Names come from the network and are written by others in UTF-8: in ASCII they cannot be written, in GBK they would
    be other names. Python decides this once, when it starts. For a process that is ours alone: whatever it did before
    it does again. Where it cannot be started again it goes on as it is.
    """
    if is_universal() or "utf8" in sys._xoptions or not sys.executable:
        return
    with suppress(OSError):
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def is_universal() -> bool:
    """True when this process writes file names in UTF-8, which spells all of them."""
    return sys.getfilesystemencoding().lower() in ("utf-8", "utf8")
