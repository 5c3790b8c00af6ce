"""TOML that somebody else may have written: every way in which it can be wrong is a ValueError."""

from __future__ import annotations

from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a document; a byte order mark before it is left out. Raises ValueError, with the line in its message.

    Nested a thousand deep, it would end the interpreter's stack (RecursionError), and a number of thousands of digits
    is refused by the interpreter, not by the parser.
    """
    import tomllib

    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
