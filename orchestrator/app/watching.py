"""A watch composed from settings: its state, its pins, and the news of the registry whose models it keeps."""

from __future__ import annotations

import time
from pathlib import Path

from orchestrator.app.compose import state_of
from orchestrator.app.registry.listening import listening
from orchestrator.app.runs.notifications import RoundTeller
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.retention.pins import Pins
from orchestrator.events import Emit
from orchestrator.lists.request import Item
from orchestrator.pulling.report import PullReport
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop
from orchestrator.watch.state import WatchFile
from orchestrator.watch.turn import Pull
from orchestrator.watch.watch import Ports, Read, WatchReport, WatchRequest, watch


def keep_watch(
    settings: Settings, path: Path, calls: tuple[Read, Pull], request: WatchRequest, *, stop: Stop, emit: Emit
) -> WatchReport:
    """Keep the cache equal to the list at `path` until `stop` is set; `calls` read it, and pull some of its models."""
    state, layout = state_of(settings), CacheLayout.at(settings.cache_dir)
    read, pull = calls
    teller = RoundTeller(settings, emit)

    def pull_and_tell(items: tuple[Item, ...], turn: Stop, tell: Emit) -> PullReport:
        began = time.monotonic()
        return teller.told(pull(items, turn, tell), began)

    with listening(settings, stop, emit) as news:
        return watch(request, Ports(read, pull_and_tell, Pins(layout, state), WatchFile(state, path), news), stop, emit)
