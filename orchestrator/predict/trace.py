"""Traces: demand as text, one JSON object a line, after a first line that names the form and its version.

    {"format": "glm-aria-trace", "version": 1}
    {"at": 1.5, "model": "org/name@main", "size": 10, "came": 10, "waited": 2.5, "sources": {"huggingface.co": 10}}

All keys of a line have to be there, others are passed over. docs/prediction.md has the form for other programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.lists.json_text import parse_json
from orchestrator.predict.demand import Demand

VERSION = 1
_FORMAT = "glm-aria-trace"
MOST_NAME = 512
"""Characters of a name."""
_MOST_SOURCES = 64
_MOST_BYTES = 1 << 62
# Beyond these years times cannot be shown, and durations are none.
_LATEST = 32503680000.0


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no demand: its number, from 1, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Trace:
    """The demand of a trace, the oldest first, and the lines that are none."""

    demands: tuple[Demand, ...]
    bad: tuple[BadLine, ...] = ()


def line_of(demand: Demand) -> str:
    """The line of a demand, with its end."""
    return json.dumps(asdict(demand)) + "\n"


def text_of(demands: Iterable[Demand]) -> str:
    """A whole trace, the oldest first."""
    header = json.dumps({"format": _FORMAT, "version": VERSION}) + "\n"
    return header + "".join(map(line_of, sorted(demands, key=lambda demand: demand.at)))


def read_trace(data: bytes) -> Trace:
    """The trace of these bytes. Raises ValueError for what does not begin as one, or is of another version."""
    first, _, rest = data.partition(b"\n")
    try:
        header = parse_json(first)
        form, version = header["format"], header["version"]
    except (ValueError, KeyError, TypeError):
        form = version = None
    if form != _FORMAT:
        raise ValueError(f'its first line is not {{"format": "{_FORMAT}", "version": {VERSION}}}')
    if version != VERSION:
        raise ValueError(f"it is a trace of version {version!r}, and only version {VERSION} is known")
    return read_lines(rest, 2)


def read_lines(data: bytes, first: int = 1) -> Trace:
    """The trace of lines without the header; `first` is the number of the first of them. Empty lines are none."""
    demands, bad = [], []
    for number, line in enumerate(data.splitlines(), first):
        if not line.strip():
            continue
        try:
            demands.append(_demand(line))
        except ValueError as error:
            bad.append(BadLine(number, str(error)))
    return Trace(tuple(sorted(demands, key=lambda demand: demand.at)), tuple(bad))


def _demand(line: bytes) -> Demand:
    value = parse_json(line)
    value = value if isinstance(value, dict) else {}
    model, sources = value.get("model"), value.get("sources")
    if not isinstance(model, str) or not 0 < len(model) <= MOST_NAME:
        raise ValueError(f"model is not a name of up to {MOST_NAME} characters")
    if not isinstance(sources, dict) or len(sources) > _MOST_SOURCES or any(len(s) > MOST_NAME for s in sources):
        raise ValueError(f"sources is not an object of up to {_MOST_SOURCES} names with bytes")
    return Demand(
        _seconds(value, "at"),
        model,
        _bytes(value, "size"),
        _bytes(value, "came"),
        _seconds(value, "waited"),
        {name: _bytes(sources, name) for name in sources},
    )


def _bytes(value: dict[str, Any], key: str) -> int:
    found = value.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < _MOST_BYTES:
        raise ValueError(f"{key} is not a number of bytes")
    return found


def _seconds(value: dict[str, Any], key: str) -> float:
    found = value.get(key)
    # What is no finite number lies not between these two.
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found < _LATEST:
        raise ValueError(f"{key} is not a number of seconds")
    return float(found)
