"""The port of what a follower has done to the cache. The implementation is in `app`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.refs import Target
from orchestrator.core.speeds import Speed
from orchestrator.desired.wish.wanted import ModelSet, WantedModel
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit
from orchestrator.lists.lockfile import LockedModel
from orchestrator.system.signals import Stop

Lacking = Mapping[str, Mapping[str, int]]
"""By the name of a model what is not here of it: the digests of blobs, with their bytes. Models that lack nothing are
left out."""
Errors = Mapping[str, GlmAriaError]
"""By the name of a model why it could not be done."""


@dataclass(frozen=True, slots=True)
class Locked:
    """The present locks of models, by the keys of the wishes; and why others cannot be told, by their names."""

    models: Mapping[str, LockedModel]
    errors: Errors


class SetWork(Protocol):
    """Every method may be called again after it was cut short. Each raises Interrupted when `stop` is set, the errors
    of the disk, and DaemonError; what ails one model is in the result."""

    def lock(self, models: Collection[WantedModel], stop: Stop, emit: Emit) -> Locked:
        """Ask what the models are now. Fetches their small files, and moves no ref."""

    def lacking(self, models: ModelSet, stop: Stop) -> Lacking:
        """The blobs that are not here, or not as it was when it was proven. Asks nobody, changes nothing."""

    def fetch(self, models: ModelSet, names: Collection[str], speed: Speed, stop: Stop, emit: Emit) -> Errors:
        """Fetch what the models of these names lack. Moves no ref: readers of the cache notice nothing."""

    def publish(self, models: ModelSet, stop: Stop, emit: Emit) -> Errors:
        """Have the refs of the cache say what the set says. Asks nobody."""

    def verify(self, models: ModelSet, stop: Stop, emit: Emit) -> int:
        """Read all bytes again. What is wrong counts as lacking from then on; returns how many files."""

    def hold(self, targets: Iterable[Target]) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
        """Pin revisions. Returns the pins that are new, and the revisions for which no ref of the cache stands."""

    def forget(self, pins: Iterable[Target], brought: Iterable[Target]) -> None:
        """Take pins back, and remove revisions from the cache that nobody else has pinned."""
