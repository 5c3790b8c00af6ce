"""Limits of bandwidth: one for all times, or one for each time of the day.

    20M                          always
    08:00-18:00=10M,else=0       by day, and no limit otherwise

Times are those of a clock on the wall. A span may cross midnight; the first that fits counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.core.sizes import parse_size

DAY = 24 * 60
"""Minutes of a day on the wall."""
_SPAN = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})", re.ASCII)
_ELSE = "else"
_EXAMPLE = "write for example 08:00-18:00=10M,else=0"
_WINDOW = "write for example 22:00-06:00"


@dataclass(frozen=True, slots=True)
class DaySpan:
    """From one minute of the day until before another."""

    begin: int
    end: int

    def has(self, minute: int) -> bool:
        """True when the minute is within."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@dataclass(frozen=True, slots=True)
class SpeedSpan(DaySpan):
    """A limit for a span of the day, None for no limit."""

    limit: int | None


@dataclass(frozen=True, slots=True)
class SpeedPlan:
    """Limits by the time of the day, in bytes per second; `otherwise` where no span fits. `text` is as it was given."""

    text: str
    spans: tuple[SpeedSpan, ...]
    otherwise: int | None = None

    def __str__(self) -> str:
        return self.text


Speed = int | SpeedPlan | None
"""A limit in bytes per second, at all times or by the time of the day; None for no limit."""


def speed_at(speed: Speed, minute: int) -> int | None:
    """The limit that holds at a minute of the day."""
    if not isinstance(speed, SpeedPlan):
        return speed
    return next((span.limit for span in speed.spans if span.has(minute)), speed.otherwise)


def top_speed(speed: Speed) -> int | None:
    """The highest limit of the day; None when there is none at some time."""
    if not isinstance(speed, SpeedPlan):
        return speed
    changes = {0, *(minute % DAY for span in speed.spans for minute in (span.begin, span.end))}
    limits = [speed_at(speed, minute) for minute in changes]
    known = [limit for limit in limits if limit is not None]
    return max(known) if len(known) == len(limits) else None


def parse_limit(text: str) -> int | None:
    """Bytes per second; 0 and `none` mean no limit. Raises ValueError with a message for people."""
    return None if text.strip().lower() in ("0", "none") else parse_size(text) or None


def parse_speed(text: str) -> Speed:
    """A limit, or limits by the time of the day. Raises ValueError with a message for people."""
    if "=" not in text and not _SPAN.fullmatch(text.strip()):
        return parse_limit(text)
    spans: list[SpeedSpan] = []
    otherwise: list[int | None] = []
    for part in text.split(","):
        when, equals, limit = (word.strip() for word in part.partition("="))
        if not equals:
            raise ValueError(f"{part.strip()!r} names no limit; {_EXAMPLE}")
        if when.lower() == _ELSE:
            otherwise.append(parse_limit(limit))
        else:
            spans.append(SpeedSpan(*_times(when), parse_limit(limit)))
    if len(otherwise) > 1:
        raise ValueError(f"{_ELSE}= is given twice")
    return SpeedPlan(text.strip(), tuple(spans), *otherwise)


def parse_windows(text: str) -> tuple[DaySpan, ...]:
    """Spans of the day with commas between: `22:00-06:00,12:00-13:00`. Raises ValueError with a message for people."""
    return tuple(DaySpan(*_times(part.strip(), _WINDOW)) for part in text.split(","))


def _times(text: str, example: str = _EXAMPLE) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of the day; {example}")
    numbers = [int(number) for number in match.groups()]
    begin, end = (60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3])
    if numbers[1] > 59 or numbers[3] > 59 or begin >= DAY or end > DAY:
        raise ValueError(f"{text!r} is not a time of the day: hours go from 00:00 to 24:00")
    if begin == end:
        raise ValueError(f"{text!r} is empty; for all day write 00:00-24:00")
    return begin, end
