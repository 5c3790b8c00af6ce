"""Readers of settings that limit bytes, or bytes per second."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.speeds import Speed, parse_limit, parse_speed
from orchestrator.settings import values


def limit(raw: object, base: Path) -> int | None:
    """Bytes, or bytes per second; 0 and `none` mean no limit."""
    if not isinstance(raw, int) or isinstance(raw, bool):
        return parse_limit(values.text(raw, base))
    if raw < 0:
        raise ValueError("must not be negative")
    return raw or None


def speed(raw: object, base: Path) -> Speed:
    """Bytes per second: one limit, or limits by the time of the day."""
    return parse_speed(raw) if isinstance(raw, str) and ("=" in raw or ":" in raw) else limit(raw, base)
