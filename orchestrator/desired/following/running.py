"""The chore of a follower, and what it tries again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.desired.following.aim import Aim
from orchestrator.desired.following.chore import Chore
from orchestrator.desired.following.polling import Poll
from orchestrator.desired.following.work import Errors
from orchestrator.errors import GlmAriaError


@dataclass(slots=True)
class Running:
    """A chore, and who takes its result. `is_bound`: it ends with the wish for which it began, and `in_window` with
    the hours in which new models may be fetched."""

    chore: Chore[Any]
    take: Callable[[Any], None]
    wish: str
    at: frozenset[str] = frozenset()
    is_bound: bool = False
    in_window: bool = False

    def is_of_another_wish(self, aim: Aim) -> bool:
        """True when what it does, and what it meets, says nothing of the wish of now."""
        return self.is_bound and self.wish != aim.memory.wish

    def is_outdated(self, aim: Aim) -> bool:
        """True when it should end."""
        return self.is_of_another_wish(aim) or (self.in_window and not aim.budget.is_open(minute()))


@dataclass(slots=True)
class Attempts:
    """Attempts that failed: when each is made again, and the errors."""

    lock: Poll = field(default_factory=lambda: Poll(float("-inf")))
    work: Poll = field(default_factory=lambda: Poll(float("-inf")))
    unlocked: Errors = field(default_factory=dict)
    unfetched: Errors = field(default_factory=dict)
    error: GlmAriaError | None = None
    is_full: bool = False

    @property
    def errors(self) -> tuple[GlmAriaError | None, ...]:
        """All of the errors."""
        return (self.error, *self.unfetched.values(), *self.unlocked.values())


def minute() -> int:
    """The minute of the day on this node's clock."""
    now = time.localtime()
    return 60 * now.tm_hour + now.tm_min
