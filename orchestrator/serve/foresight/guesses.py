"""Guesses that were made: `guesses.json` in the state folder, and what became of them. Calls block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.cache.retention.on_demand import Revision
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.worth import SPAN

_MOST = 10_000
_BEGINS = 2 * HOUR
"""Seconds for which a guess of which nothing is on the list is on its way."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A model that was fetched ahead: when, the bytes that came, and whether somebody used it; None while that is
    open."""

    at: float
    model: str
    folder: str
    commit: str
    size: int
    was_used: bool | None = None

    @property
    def revision(self) -> Revision:
        """The revision as the cache knows it."""
        return self.folder, self.commit


class GuessFile:
    """The file of one cache; one that cannot be read is as one that is not there. Errors of writing per
    `system.failures`."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "guesses.json"
        self._stage = state_dir / "stage"

    def read(self) -> tuple[Guess, ...]:
        """All, the oldest first."""
        return read_state(self._path, lambda data: tuple(map(_guess, data["guesses"][-_MOST:]))) or ()

    def write(self, guesses: tuple[Guess, ...]) -> None:
        """Replace them."""
        write_state(self._path, self._stage, {"guesses": [asdict(guess) for guess in guesses[-_MOST:]]}, durable=False)


def judged(
    guesses: tuple[Guess, ...], uses: Mapping[Revision, float], here: frozenset[Revision], now: float
) -> tuple[Guess, ...]:
    """The guesses that count at `now`, with what became of each: `uses` are the last uses of what may go, `here` the
    revisions in the cache. What is not on the list and is here was pulled, which is a use."""

    def judge(guess: Guess) -> Guess:
        use = uses.get(guess.revision)
        if guess.was_used is not None or (use is not None and use <= guess.at):
            return guess
        if use is None and guess.revision not in here:
            return guess if now - guess.at < _BEGINS else replace(guess, was_used=False)
        return replace(guess, was_used=True)

    return tuple(judge(guess) for guess in guesses if guess.at > now - SPAN)


def _guess(value: dict[str, Any]) -> Guess:
    at, size, was_used = value["at"], value["size"], value["was_used"]
    texts = value["model"], value["folder"], value["commit"]
    if was_used not in (None, True, False) or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a guess")
    if not (isinstance(at, int | float) and math.isfinite(at) and isinstance(size, int) and size >= 0):
        raise ValueError("not a guess")
    return Guess(float(at), *texts, size, was_used)
