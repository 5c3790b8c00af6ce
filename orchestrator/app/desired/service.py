"""The calls of the commands for desired states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.desired.following import SetRequest, follow_sources, source_at, store_of
from orchestrator.desired.following.request import FollowReport
from orchestrator.desired.wish.address import SourceAddress
from orchestrator.events import Emit
from orchestrator.settings import Settings
from orchestrator.system.signals import stoppable

if TYPE_CHECKING:
    from orchestrator.app.desired.asking import NodeAnswer, ReadyRule
    from orchestrator.app.desired.carrying import CarriedSet
    from orchestrator.watch.on_change import Hook


@dataclass(frozen=True, slots=True)
class DesiredServices:
    """The calls, with the settings of a run."""

    settings: Settings

    def follow(
        self, request: SetRequest, emit: Emit, *, hook: Hook | None, on_ready: Callable[[int | None], None]
    ) -> FollowReport:
        """Keep a set as its sources desire it, until a signal comes; `on_ready` is told the port of its status."""
        with stoppable() as stop:
            return follow_sources(self.settings, request, hook, stop=stop, emit=emit, on_ready=on_ready)

    def export(self, name: str, sets: Path | None, target: Path) -> CarriedSet:
        """Write the set that readers have into an archive."""
        from orchestrator.app.desired.carrying import export_set

        with stoppable():
            return export_set(self.settings, name, sets, target)

    def take(self, name: str, sets: Path | None, source: Path, expected: str | None, emit: Emit) -> CarriedSet:
        """Take a set out of an archive, and give it to readers. Asks nobody."""
        from orchestrator.app.desired.carrying import import_set

        with stoppable() as stop:
            return import_set(self.settings, name, sets, source, expected, stop=stop, emit=emit)

    def digest(self, name: str, sets: Path | None, sources: tuple[SourceAddress, ...], emit: Emit) -> str:
        """The digest of the set that readers have, or of what sources desire for this node."""
        from orchestrator.app.desired.carrying import current_of, digest_of_sources

        if not sources:
            return current_of(store_of(self.settings, name, sets)).digest
        with stoppable() as stop:
            found = tuple(source_at(address, None, self.settings, stop) for address in sources)
            return digest_of_sources(self.settings, found, stop=stop, emit=emit)

    def statuses(self, places: Sequence[str]) -> tuple[NodeAnswer, ...]:
        """The status of the sets at these places."""
        from orchestrator.app.desired.asking import ask

        return ask(places)

    def wait(
        self, places: Sequence[str], rule: ReadyRule, timeout: float, see: Callable[[tuple[NodeAnswer, ...]], None]
    ) -> tuple[NodeAnswer, ...]:
        """Wait until all nodes are as they shall be."""
        from orchestrator.app.desired.asking import wait_for

        with stoppable() as stop:
            stop.is_abrupt = False
            return wait_for(places, rule, timeout, stop, see)
