"""Two sites of simulated nodes, each with its scheduler, board and line to the origin, and a link between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from orchestrator.core.versions import Vector
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.control.scheduling.core import SchedulerCore
from orchestrator.swarm.control.scheduling.outlook import Outlook
from orchestrator.swarm.control.sites.states import SiteNews, parts
from tests.swarm.control.scheduling.simulated import MB, STEP, Fleet

NAMES = ("rome", "paris")


class TwoSites:
    """Both want the same model; of several schedulers of a site the first has the link.

    `is_linked` while they exchange states, `are_near` while nodes reach each other."""

    def __init__(self, nodes: int, sizes: Sequence[int], *, rate: float = 10 * MB, schedulers: int = 1) -> None:
        boards = {name: MemoryBoard() for name in NAMES}
        self.sites = {
            name: Fleet(
                nodes, sizes, boards=[board, *(board.beside() for _ in range(schedulers - 1))], rate=rate, site=name
            )
            for name, board in boards.items()
        }
        self._outlooks = {name: Outlook() for name in NAMES}
        self._told: dict[str, Vector] = {}
        self.is_linked = self.are_near = True
        self.messages = 0

    @property
    def fleets(self) -> Sequence[Fleet]:
        return tuple(self.sites.values())

    def core(self, name: str) -> SchedulerCore:
        return self.sites[name].cores[0]

    def part(self) -> None:
        """Nothing passes between the two any more."""
        self.is_linked = self.are_near = False
        self._told.clear()

    def heal(self) -> None:
        """All is as before, and both begin anew by what they have seen."""
        self.is_linked = self.are_near = True

    def link(self) -> None:
        """Each tells the other what that lacks."""
        for teller, hearer in (NAMES, NAMES[::-1]):
            fleet, core = self.sites[teller], self.core(hearer)
            self._outlooks[teller].look(self.core(teller).state, fleet.now)
            if teller not in self._told:
                self._told[teller] = core.abroad.seen(teller, fleet.now)
            core.abroad.heard(teller, fleet.now)
            for news in self._outlooks[teller].news(self._told[teller]):
                self._told[teller] |= Vector({news.node.node: news.node.clock})
                for part in parts(news, most=1 << 12):
                    self.messages += 1
                    core.abroad.take(teller, part, fleet.now)

    def step(self) -> None:
        """Let a quarter of a second pass."""
        for one, other in (self.fleets, self.fleets[::-1]):
            one.far = dict(other.nodes) if self.are_near else {}
        for fleet in self.fleets:
            fleet.turn()
            fleet.step()
        if self.is_linked and self.fleets[0].now % 0.5 < STEP:
            self.link()

    def run(self, until: Callable[[], bool] | None = None, most: float = 600.0) -> float:
        """Run until all nodes are through, or this is so. Returns the seconds that it took."""
        begin = self.fleets[0].now
        done = until or (lambda: all(fleet.is_done() for fleet in self.fleets))
        while not done():
            assert self.fleets[0].now - begin < most, [[node.is_placed for node in each.alive] for each in self.fleets]
            self.step()
        return self.fleets[0].now - begin

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.fleets[0].now + seconds
        self.run(lambda: self.fleets[0].now >= end)

    @property
    def egress(self) -> float:
        """What origins sent to both, over the size."""
        return sum(fleet.egress for fleet in self.fleets)

    @property
    def fetched(self) -> Counter[object]:
        """How often each piece was fetched from an origin."""
        return sum((Counter[object](fleet.fetched) for fleet in self.fleets), Counter[object]())

    def states(self) -> list[dict[str, object]]:
        """What each scheduler has as the pieces of each node; by the names of nodes."""
        return [
            {
                node: [(digest, blob.have.get(node), node in blob.holders) for digest, blob in sorted(blobs.items())]
                for node in sorted(self.core(name).state.nodes)
            }
            for name in NAMES
            for blobs in (self.core(name).state.blobs,)
        ]

    def lacks(self, name: str) -> list[SiteNews]:
        """What the other site has not seen of this one, by its vector."""
        (other,) = {*NAMES} - {name}
        return list(self._outlooks[name].news(self.core(other).abroad.seen(name, self.sites[name].now)))

    def agree(self) -> bool:
        """True when both know the same of the same nodes."""
        return all(one == other for one, other in pairwise(self.states()))
