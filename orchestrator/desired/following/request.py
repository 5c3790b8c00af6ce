"""The request of a follower, its ports, and its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.desired.following import polling
from orchestrator.desired.following.looking import Followed
from orchestrator.desired.following.memory import MemoryFile
from orchestrator.desired.following.work import SetWork
from orchestrator.desired.sets import SetStore
from orchestrator.desired.status import SetStatus
from orchestrator.desired.wish.document import SetBudget
from orchestrator.desired.wish.labels import Labels
from orchestrator.desired.wish.wanted import SetRules
from orchestrator.errors import GlmAriaError
from orchestrator.events import Flipped

VERIFY = 86400.0
"""Seconds between two readings of all bytes of the set of readers, where nobody says."""


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """The request of a follower. `interval` are seconds between two looks at a source; `budget` and `grace` go before
    what the sources say; `once` ends when readers have what is desired, or cannot have it now."""

    labels: Labels
    node: str
    interval: float = polling.INTERVAL
    once: bool = False
    budget: SetBudget = field(default_factory=SetBudget)
    grace: float | None = None
    rules: SetRules = field(default_factory=SetRules)
    verify_every: float = VERIFY


@dataclass(frozen=True, slots=True)
class FollowPorts:
    """The ports of a follower. `flipped` hears of each set that readers got, `show` each status."""

    sources: tuple[Followed, ...]
    store: SetStore
    file: MemoryFile
    work: SetWork
    flipped: Callable[[Flipped], None]
    show: Callable[[SetStatus], None]


@dataclass(frozen=True, slots=True)
class FollowReport:
    """The end of a follower: its status, the errors that are in its way, and the signal that stopped it."""

    status: SetStatus
    errors: tuple[GlmAriaError, ...]
    interrupted: int | None
