"""TOML that somebody else may have written: every way in which it can be wrong is a ValueError."""

from __future__ import annotations

import re
from typing import Any

_MOST_PARTS = 32
"""Parts of a key. The parser's time grows with their square: with 32,000 of them 64 kB take 9 s."""
# Strings and comments as far as they go, also those that have no end: at no place is more read than once.
_WORDS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*(?:"{3,5}|\Z)'
    r"|'''(?:[^']|'(?!''))*(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|\#[^\n]*",
    re.DOTALL,
)
_BETWEEN_KEYS = re.compile(r"[\n,=\[\]{}]+")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a document; a byte order mark before it is left out. Raises ValueError, with the line in its message, and
    for a key of more than 32 parts.

    Nested a thousand deep, it would end the interpreter's stack (RecursionError), and a number of thousands of digits
    is refused by the interpreter, not by the parser.
    """
    import tomllib

    if any(part.count(".") >= _MOST_PARTS for part in _BETWEEN_KEYS.split(_WORDS.sub("", text))):
        raise ValueError(f"a key has more than {_MOST_PARTS} parts")
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
