"""Sizes, speeds and times as people write and read them.

Read: K, M, G, T are powers of 1024, KB, MB, GB, TB powers of 1000, KiB and so on powers of 1024; `/s` may follow.
Written: powers of 1000 with B, kB, MB, GB, TB, the way the Hub's pages show sizes.
"""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(?:([KMGT])(I?B)?|B)?(?:/S)?", re.IGNORECASE)
_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def parse_size(text: str) -> int:
    """Bytes meant by `20M`, `1.5G`, `100KB` or `5MB/s`. Raises ValueError with a message for people."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write for example 20M, 1.5G or 100KB")
    number, letter, suffix = match[1], (match[2] or "").upper(), (match[3] or "").upper()
    unit: int = (1000 if suffix == "B" else 1024) ** _POWER[letter]
    return round(float(number) * unit) if "." in number else int(number) * unit


def parse_duration(text: str) -> float:
    """Seconds meant by `30d`, `12h`, `90m`, `2w` or `45s`. Raises ValueError with a message for people."""
    match = re.fullmatch(r"([0-9]{1,6})\s*([smhdw])", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{text!r} is not a time; write for example 30d, 12h or 2w")
    return float(int(match[1]) * _SECONDS[match[2].lower()])


def format_size(count: int) -> str:
    """Three significant digits: `999 B`, `1.23 kB`, `20.1 GB`."""
    value, unit = float(count), 0
    # 999.5 would be written as "1000", so it belongs to the next unit already.
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    if unit == 0:
        return f"{count} B"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def format_speed(bytes_per_second: float) -> str:
    """`12.3 MB/s`."""
    return f"{format_size(round(bytes_per_second))}/s"


def format_duration(seconds: float) -> str:
    """Two units at most: `0.4 s`, `38 s`, `2 min 05 s`, `3 h 10 min`, `2 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
