"""The nodes of a site as others are to know them: their states, with a number for each change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.core.files import Digest
from orchestrator.core.versions import Vector
from orchestrator.swarm.control.scheduling.facts import NodeFact
from orchestrator.swarm.control.scheduling.state import FleetState
from orchestrator.swarm.control.scheduling.viewing import was_here
from orchestrator.swarm.control.sites.states import Good, SiteGood, SiteNews, SiteNode
from orchestrator.swarm.units import Bits, Unit
from orchestrator.swarm.view import NodeState

_REMEMBERED = 60.0
"""Seconds for which a node that is gone is told as lost; later, to who asks for it."""

_Goods = Mapping[Good, tuple[Bits, bool]]


class Outlook:
    """The nodes of this site as others are to know them."""

    def __init__(self) -> None:
        self._nodes: dict[str, SiteNode] = {}
        self._gone: dict[str, float] = {}

    def look(self, state: FleetState, now: float) -> None:
        """See what has changed. What a node changes is told with the number of its last word; where that was told
        already, with the next one."""
        goods = _goods(state)
        brings = _brings(state)
        own = {name: record.fact for name, record in state.nodes.items() if not record.fact.site}
        for name, fact in own.items():
            is_lost = fact.state in (NodeState.LOST, NodeState.GONE) or not was_here(state, name, now)
            self._note(fact, is_lost, goods.get(name, {}), () if is_lost else tuple(brings.get(name, ())))
        for name in self._nodes.keys() - own.keys():
            self._nodes[name] = self._nodes[name].lost()
            if now - self._gone.setdefault(name, now) > _REMEMBERED:
                del self._nodes[name], self._gone[name]
        for name in self._gone.keys() & own.keys():
            del self._gone[name]

    def news(self, seen: Vector) -> Iterator[SiteNews]:
        """The news to who has seen so much. A node that is not known here is lost."""
        for node in self._nodes.values():
            if (found := SiteNews.after(node, seen)) is not None:
                yield found
        for name, (epoch, number) in seen.clocks.items():
            if name not in self._nodes and not number & 1:
                yield SiteNews(SiteNode(name, epoch, number).lost(), number)

    def _note(self, fact: NodeFact, is_lost: bool, goods: _Goods, brings: tuple[Unit, ...]) -> None:
        known = self._nodes.get(fact.node)
        if known is not None and known.epoch > fact.epoch:
            return
        if known is not None and known.epoch < fact.epoch:
            known = None
        number = fact.seq << 1 | is_lost
        if known is not None and number <= known.number:
            return
        before = known.goods if known is not None else {}
        told = {
            good: same if (same := before.get(good)) and (same.has, same.is_whole) == has else SiteGood(number, *has)
            for good, has in goods.items()
        }
        node = SiteNode(
            fact.node, fact.epoch, number, fact.address, fact.zone, fact.shares_restricted, brings, {**before, **told}
        )
        if known is None or known.is_lost != is_lost or replace(known, number=number) != node:
            self._nodes[fact.node] = node


def _goods(state: FleetState) -> Mapping[str, _Goods]:
    """The goods of each node."""
    found: dict[str, dict[Good, tuple[Bits, bool]]] = {}
    for digest, blob in state.blobs.items():
        for node, bits in blob.have.items():
            found.setdefault(node, {})[digest] = _told(bits, is_whole=node in blob.holders)
    for task in state.tasks.values():
        if task.listing is not None and task.listing.places:
            for node, bits in task.files.items():
                if bits.count == len(task.listing.places):
                    found.setdefault(node, {})[task.listing.fingerprint] = _told(bits, is_whole=bits.is_full)
    return found


def _told(bits: Bits, *, is_whole: bool) -> tuple[Bits, bool]:
    return Bits(bits.count) if is_whole else bits, is_whole


def _brings(state: FleetState) -> Mapping[str, list[Unit]]:
    """The units of blobs that each node fetches from an origin."""
    found: dict[str, list[Unit]] = {}
    for record in state.leases():
        lease = record.fact
        if isinstance(lease.good, Digest):
            found.setdefault(lease.node, []).append(Unit(lease.good, lease.index, lease.start, lease.end))
    return found
