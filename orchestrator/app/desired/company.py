"""Pulls of a follower: alone, with peers, or led by schedulers.

It is one of them as long as it runs, and not only during a pull: nodes look at their sources at moments of their own,
and the later ones get from it what it has.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from orchestrator.app.compose import mover_of, sweep
from orchestrator.app.opening import opened
from orchestrator.events import Emit, Event
from orchestrator.lists.request import PullRequest
from orchestrator.pulling import pull as flow
from orchestrator.pulling.report import PullReport
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop

Pull = Callable[[Settings, PullRequest, Stop, Emit], PullReport]
"""A pull by settings that may differ from those of the follower in their limits. Raises the errors of the disk."""


def pull_alone(settings: Settings, request: PullRequest, stop: Stop, emit: Emit) -> PullReport:
    """Pull without any company."""
    with opened(settings, stop, emit) as (cache, sources, sites, told):
        report = flow.pull(request, sites, sources, cache, mover_of(settings), stop=stop, emit=told)
        sweep(cache.staging)
    return report


@contextlib.contextmanager
def company_of_sets(settings: Settings, stop: Stop, emit: Emit, *, once: bool) -> Iterator[Pull]:
    """The way to pull by the settings. One that follows `once` stays in the end until others have what it alone has.

    Raises ConfigError without a key of the fleet, CannotCreateError when peers cannot reach it.
    """
    if settings.fleet_control is None and not (settings.fleet_lan or settings.fleet_peers):
        yield pull_alone
        return
    relay, has_pulled = _Relay(emit), threading.Event()
    with contextlib.ExitStack() as stack:
        # One for all pulls: what one of them placed is given to peers during the next.
        found = stack.enter_context(opened(settings, stop, relay))
        cache, sources, sites, told = found

        def among(run: Callable[[Settings, PullRequest, Stop], PullReport]) -> Pull:
            def pull(settings: Settings, request: PullRequest, stop: Stop, emit: Emit) -> PullReport:
                with relay.to(emit):
                    report = run(settings, request, stop)
                sweep(cache.staging)
                has_pulled.set()
                return report

            return pull

        if settings.fleet_control is not None:
            from orchestrator.app.fleet.control import event_loop
            from orchestrator.app.fleet.led import led
            from orchestrator.app.fleet.pulling import pull_led

            node = stack.enter_context(led(settings, found, stack.enter_context(event_loop()), stop, emit))
            yield among(
                lambda settings, request, stop: pull_led(settings, request, found, node, stop, told, stays=True)
            )
            if once and has_pulled.is_set() and not stop.is_set():
                node.leave(stop, emit)
            return
        from orchestrator.app.peers.company import company

        peers = stack.enter_context(company(settings, cache, stop, emit))

        def beside(settings: Settings, request: PullRequest, stop: Stop) -> PullReport:
            mover = replace(mover_of(settings), company=peers)
            return flow.pull(request, sites, sources, cache, mover, stop=stop, emit=told)

        yield among(beside)


class _Relay:
    """An `Emit` that leads to the pull of the moment."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def __call__(self, event: Event) -> None:
        self._emit(event)

    @contextlib.contextmanager
    def to(self, emit: Emit) -> Iterator[None]:
        """Lead there as long as the context lasts."""
        before, self._emit = self._emit, emit
        try:
            yield
        finally:
            self._emit = before
