"""One line for all that lies in the cache and is no part of it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.cli import terminal
from orchestrator.core.text import redacted


def say_left_out(paths: Sequence[str]) -> None:
    """Name the first, and how many more there are; nothing where there is none."""
    if paths:
        more = f" and {len(paths) - 1} more" if paths[1:] else ""
        terminal.say(f"skipped, not part of a model: {redacted(paths[0])}{more}")
