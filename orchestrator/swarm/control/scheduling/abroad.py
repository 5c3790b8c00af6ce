"""Words of other sites: what they say about their nodes becomes facts of this one, as far as its tasks list it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from orchestrator.core.files import Digest
from orchestrator.core.versions import Vector
from orchestrator.errors import ProtocolError
from orchestrator.swarm.control.scheduling.around import SIGN
from orchestrator.swarm.control.scheduling.facts import FilesFact, HaveFact, NodeFact, SchedulerFact
from orchestrator.swarm.control.scheduling.state import FleetState
from orchestrator.swarm.control.sites.states import Good, SiteGood, SiteNews, SiteNode, SiteStates
from orchestrator.swarm.goods import Good as PlannedGood
from orchestrator.swarm.goods import there
from orchestrator.swarm.trust import LOST_AFTER, trusted_nodes
from orchestrator.swarm.units import Bits, piece_count
from orchestrator.swarm.view import FleetView, NodeState

MOST_SITES = 64
_SILENT = 2.0
"""Seconds for which a site may say nothing: it gives a sign of life each second."""
_KEPT = 300.0
"""Seconds for which a site that says nothing is remembered in any case."""
HUNGRY = 10.0
"""Seconds for which a node may get nothing of what only another site has, before that counts as out of reach."""
APART = 300.0
"""Seconds for which such a site is not counted on."""


@dataclass(slots=True)
class _Site:
    """A site: its nodes, when it was last heard of, and the goods of its nodes that are to be looked at; None: all."""

    states: SiteStates = field(default_factory=SiteStates)
    heard: float = float("-inf")
    due: dict[str, set[Good] | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Wanted:
    """The goods that tasks list: sizes of blobs, and the tasks with such small files."""

    tasks: frozenset[str] = frozenset()
    sizes: dict[Digest, int] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)


class Abroad:
    """Other sites, by their names."""

    def __init__(self) -> None:
        self._sites: dict[str, _Site] = {}
        self._wanted = _Wanted()
        self._hungry: dict[str, float] = {}
        self._apart: dict[str, float] = {}

    def seen(self, site: str, now: float) -> Vector:
        """The vector of what was seen of the nodes of a site. Those that it has lost are forgotten; it names them
        again if they are back. One site too many takes the place of that which fell silent first, minutes ago.
        Raises ProtocolError where none did."""
        if site not in self._sites and len(self._sites) >= MOST_SITES:
            silent, heard = min(((name, one.heard) for name, one in self._sites.items()), key=itemgetter(1))
            if now - heard <= _KEPT:
                raise ProtocolError(f"{MOST_SITES} sites are known here, which is the most")
            del self._sites[silent]
        states = self._sites.setdefault(site, _Site()).states
        states.forget_lost()
        return states.vector

    def heard(self, site: str, now: float) -> None:
        """The site gave a sign of life."""
        found = self._sites.setdefault(site, _Site())
        if now - found.heard > LOST_AFTER:  # it was away, and its nodes may have been forgotten here
            found.due = dict.fromkeys(found.states.nodes)
        found.heard = now

    def take(self, site: str, news: SiteNews, now: float) -> None:
        """Take news of a node. Raises ProtocolError, see `SiteStates.take`."""
        self.heard(site, now)
        found = self._sites[site]
        changed = set(found.states.take(news))
        due = found.due.setdefault(news.node.node, changed)
        if due is not None:
            due |= changed

    def signs(self, now: float) -> Iterator[SchedulerFact]:
        """The signs of life of the sites that are heard of."""
        for name, site in self._sites.items():
            if now - site.heard <= _SILENT:
                yield SchedulerFact(SIGN + name)

    def facts(self, state: FleetState) -> Iterator[NodeFact | HaveFact | FilesFact]:
        """All that is new, and follows from what was told."""
        if not self._sites:
            return
        self._look_at_tasks(state)
        for name, site in self._sites.items():
            due, site.due = site.due, {}
            for node, goods in due.items():
                if (told := site.states.nodes.get(node)) is not None:
                    yield from self._facts(name, told, goods, state)

    def unreachable(self, now: float) -> frozenset[str]:
        """The sites of which nodes of this one got nothing lately."""
        return frozenset(site for site, until in self._apart.items() if now < until)

    def doubt(self, view: FleetView, state: FleetState, now: float) -> frozenset[str]:
        """The sites that are out of reach from now on: a node of this one starves beside what only they have, and asks
        their nodes for it."""
        far = {name: record.fact.site for name, record in state.nodes.items() if record.fact.site}
        hungry = {node.id for node in view.nodes.values() if node.starves and far.keys() & set(node.peers)}
        self._hungry = {node: self._hungry.get(node, now) for node in hungry}
        long = [node for node, since in self._hungry.items() if now - since >= HUNGRY]
        if not long:
            return frozenset()
        trusted = trusted_nodes(view, now)
        near, away = trusted - far.keys(), trusted & far.keys()
        found = {
            far[peer]
            for node in long
            if _lacks_what_is_only(view, node, away, near)
            for peer in view.nodes[node].peers
            if peer in far
        }
        self._apart |= dict.fromkeys(found, now + APART)
        return frozenset(found)

    def _look_at_tasks(self, state: FleetState) -> None:
        """Look at all goods again when other tasks list some."""
        listed = frozenset(name for name, task in state.tasks.items() if task.listing)
        if listed == self._wanted.tasks:
            return
        self._wanted = _Wanted(listed)
        for name in listed:
            if (listing := state.tasks[name].listing) is not None:
                self._wanted.sizes.update((digest, listing.sizes[digest]) for digest in listing.large)
                if listing.places:
                    self._wanted.lists.setdefault(listing.fingerprint, []).append(name)
        for site in self._sites.values():
            site.due = dict.fromkeys(site.states.nodes)

    def _facts(
        self, site: str, told: SiteNode, goods: set[Good] | None, state: FleetState
    ) -> Iterator[NodeFact | HaveFact | FilesFact]:
        record = state.nodes.get(told.node)
        known = record.fact if record else None
        if known is not None and known.site != site and (known.epoch, known.seq) >= (told.epoch, told.seq):
            return  # it has moved, and its words of before come late
        fact = NodeFact(
            node=told.node,
            epoch=told.epoch,
            scheduler=SIGN + site,
            seq=told.seq,
            state=NodeState.LOST if told.is_lost else NodeState.READY,
            address=told.address,
            zone=told.zone,
            shares_restricted=told.shares_restricted,
            site=site,
            brings=told.brings,
        )
        if fact != known:
            yield fact
        is_known = known is not None and known.site == site and known.epoch == told.epoch
        looked = told.goods if goods is None or not is_known else {one: told.goods[one] for one in goods}
        if not told.is_lost:
            yield from self._haves(told, looked, state)

    def _haves(
        self, told: SiteNode, goods: Mapping[Good, SiteGood], state: FleetState
    ) -> Iterator[HaveFact | FilesFact]:
        for good, said in goods.items():
            if isinstance(good, str):
                for task in self._wanted.lists.get(good, ()):
                    record = state.task(task)
                    if record.listing is None or len(record.listing.places) != said.has.count:
                        continue
                    if record.files.get(told.node) != (has := _all_of(said)):
                        yield FilesFact(task, told.node, told.epoch, has)
            elif (size := self._wanted.sizes.get(good)) is not None and piece_count(size) == said.has.count:
                blob = state.blob(good)
                if blob.have.get(told.node) != _all_of(said) or (told.node in blob.holders) != said.is_whole:
                    yield HaveFact(good, size, told.node, told.epoch, said.has, said.is_whole)


def _all_of(said: SiteGood) -> Bits:
    """The set of what a node has, of which the size was found to be right."""
    return Bits.full(said.has.count) if said.is_whole else said.has


def _lacks_what_is_only(view: FleetView, node: str, away: frozenset[str], near: frozenset[str]) -> bool:
    """True if others far away have pieces that a node wants, and none that are near have."""
    for each in view.goods:
        if node in each.wanted_by:
            mine = each.have.get(node)
            lacks = PlannedGood.of(each, view, near).missing & ~(mine.mask if mine else 0)
            if lacks & there(each, view, away):
                return True
    return False
