"""The calls of the commands for desired states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.app.desired.following import SetRequest, follow_sources
from orchestrator.desired.following.request import FollowReport
from orchestrator.events import Emit
from orchestrator.settings import Settings
from orchestrator.system.signals import stoppable

if TYPE_CHECKING:
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
