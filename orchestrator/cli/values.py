"""Values of options that are texts of one form: what is wrong with one is told with its flag."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from orchestrator.core.sizes import parse_duration
from orchestrator.errors import UsageError

_Value = TypeVar("_Value")


@overload
def parsed(flag: str, parse: Callable[[str], _Value], text: str) -> _Value: ...
@overload
def parsed(flag: str, parse: Callable[[str], _Value], text: str | None) -> _Value | None: ...
def parsed(flag: str, parse: Callable[[str], _Value], text: str | None) -> _Value | None:
    """The value that the text of an option says; None for none. Raises UsageError where `parse` raises ValueError."""
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from error


def parsed_interval(flag: str, text: str) -> float:
    """Seconds, at least one, after which something is done again. Raises UsageError."""
    seconds = parsed(flag, parse_duration, text)
    if seconds < 1:
        raise UsageError(f"{flag}: must be at least 1s")
    return seconds
