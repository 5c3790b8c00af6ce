"""Readers of settings that limit bytes, bytes per second, or the hours for them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.speeds import DaySpan, Speed, parse_limit, parse_speed, parse_windows
from orchestrator.settings import values


def limit(raw: object, base: Path) -> int | None:
    """Bytes, or bytes per second; 0 and `none` mean no limit."""
    if not isinstance(raw, int) or isinstance(raw, bool):
        return parse_limit(values.text(raw, base))
    if raw < 0:
        raise ValueError("must not be negative")
    return raw or None


def windows(raw: object, base: Path) -> tuple[DaySpan, ...]:
    """Spans of the day with commas between; `none` for all of it."""
    text = values.text(raw, base)
    return () if text.lower() == "none" else parse_windows(text)


def speed(raw: object, base: Path) -> Speed:
    """Bytes per second: one limit, or limits by the time of the day."""
    return parse_speed(raw) if isinstance(raw, str) and ("=" in raw or ":" in raw) else limit(raw, base)
