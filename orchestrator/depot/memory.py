"""The memory of sources from run to run: with how many connections each begins, and what a transfer measured of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.depot.mover import NOWHERE, Home
from orchestrator.errors import GlmAriaError
from orchestrator.mirrors.counts import beginning
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import LEAST_BYTES, Observation

if TYPE_CHECKING:
    from orchestrator.transfer.feeder import Feeder


def homes(sources: Sources, usual: int) -> Callable[[str], Home]:
    """The homes of sources, by name; one of which nothing is known begins with the `usual` number of connections."""
    stats = sources.stats.read()

    def home(name: str) -> Home:
        source = next((source for source in sources.all if source.name == name), None)
        return Home(source.url, beginning(stats.of(source).counts, usual, stats.at)) if source else NOWHERE

    return home


def remember(transfer: Feeder, sources: Sources) -> None:
    """Record the measurements of the sources for the next run. Never fails this one."""
    samples = {}
    by_name = {source.name: source for source in sources.all}
    for server in transfer.servers:
        if source := by_name.get(server.name):
            # Where others share it, what it could send to one who asks alone did not show.
            is_measured = server.bytes >= LEAST_BYTES and server.terms.connections is None
            rate = server.best_rate if is_measured else None
            samples[source] = (
                Observation(
                    server.latency,
                    rate,
                    server.allowed,
                    failed=server.down is not None,
                    count=server.settled,
                    family=transfer.family,
                ),
            )
    with suppress(GlmAriaError):
        sources.stats.observe(samples)
