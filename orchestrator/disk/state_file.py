"""JSON documents in the state folder: `{"version": 1, …}`, mode 0600, replaced in one step; and logs, which grow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.disk.atomic import write_file
from orchestrator.errors import GlmAriaError
from orchestrator.lists.json_text import parse_json
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.system.small_files import RECORD_BYTES, read_small

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, GlmAriaError)
"""What reading a document of any content can raise."""
_VERSION = 1

T = TypeVar("T")


def read_state(path: Path, parse: Callable[[dict[str, Any]], T]) -> T | None:
    """The document as `parse` reads it; None if it is absent, unreadable, or refused by `parse`.

    Nothing may rest on such a file: what was in it costs time to find out again. `parse` may raise any of UNREADABLE.
    """
    try:
        return parse(load_state(path))
    except UNREADABLE:
        return None


def load_state(path: Path, *, judge: Callable[[os.stat_result], None] | None = None) -> dict[str, Any]:
    """The document. Raises OSError, ValueError and their like (UNREADABLE), also for one of another version, and what
    `judge` does for the stat of the file."""
    # Of a large one no second copy is kept while it is parsed.
    text = read_small(path, RECORD_BYTES, judge=judge).decode()
    data = parse_json(text, has_nan=True)
    if data["version"] != _VERSION:
        raise ValueError("of another version")
    return dict(data)


def write_state(
    path: Path, stage: Path, data: Mapping[str, object], *, indent: int | None = None, durable: bool = True
) -> None:
    """Replace the document. `indent` is for one that people may want to read. Raises per `system.failures`."""
    separators = (",", ":") if indent is None else None
    text = json.dumps({"version": _VERSION, **data}, indent=indent, separators=separators, sort_keys=True)
    write_file(path, text + "\n", stage, mode=0o600, durable=durable)


def append_state(path: Path, data: bytes) -> int:
    """Add to the end of a log, mode 0600, and return the bytes that it has now. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | CLOEXEC | NOFOLLOW, 0o600)
    with os.fdopen(fd, "ab") as file:
        file.write(data)
        return file.tell()
