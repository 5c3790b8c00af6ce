"""The locator of a node: peers are sources like any other, with a reach; origins are asked for what is this node's."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.extents import Ranges, subtract
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, RangeAnswer, Source, node_of, source_of
from orchestrator.depot.candidates import Candidates, Choosing
from orchestrator.errors import GlmAriaError, SourcesDownError, TemporaryError
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.small_files import FileRange, open_body
from orchestrator.swarm.guides import Guide
from orchestrator.swarm.peers.choice import only_from, rarest
from orchestrator.swarm.peers.neighbours import Neighbours
from orchestrator.swarm.units import Bits, piece_count, pieces_of
from orchestrator.transfer.interface import Terms, Uri
from orchestrator.transfer.limits import START

_LOSING, _LEAST_LOSING = 64, 2
"""The most connections to an origin of all nodes together, and of each at least: those of one pull."""
_OF_FEW = Terms(connections=2, rest=0.5, is_direct=True)
_OF_MANY = replace(_OF_FEW, connections=1)
_FEW = 4
"""Peers to each of which there are two connections. Those of more would leave little of a slow line for what this node
is to bring from the origin, and all wait for that."""
_MOST_LOOKS = 4096
_BUSY, _ABSENT = 429, (403, 404, 410, 416)


@dataclass(slots=True)
class _Look:
    """Offers of peers for one blob, which hold as long as the `mark` does: a transfer asks for hundreds of blobs,
    at each of its polls."""

    mark: tuple[object, ...]
    offers: Mapping[str, Bits]
    reaches: dict[str, Ranges] = field(default_factory=dict)


_NOBODY = _Look((), {})


class PeerLocator:
    """A `Choosing` around that of the origins. Thread-safe.

    A blob of a closed repo is fetched from origins alone unless `share_restricted`, and so is one whose bytes were
    wrong as a whole. `alone` says which pieces of a blob are to come from one sender.
    """

    def __init__(
        self,
        inner: Choosing,
        guide: Guide,
        peers: Neighbours,
        *,
        alone: Callable[[Digest], Bits],
        share_restricted: bool = False,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._guide = guide
        self._peers = peers
        self._table = peers.table
        self._alone = alone
        self._share_restricted = share_restricted
        self._roll = roll
        self._looks: dict[Digest, _Look] = {}

    @property
    def choice(self) -> Candidates:
        """See `depot.candidates.Choosing`. A peer has no place to compare bytes with."""
        return self._inner.choice

    def candidates(self, job: Job) -> tuple[str, ...]:
        """See `transfer.interface.Locator`."""
        return (*self._inner.candidates(job), *map(source_of, self._offers(job)))

    def reach(self, job: Job, source: str) -> Ranges | None:
        """See `transfer.interface.Locator`."""
        node = node_of(source)
        if node is None:
            return self._reach_of_origin(job, source)
        look = self._look(job)
        mine = look.offers.get(node)
        if mine is None:
            return ()
        if node not in look.reaches:
            alone = self._alone(job.digest)
            able = mine - only_from(node, job.digest, alone, look.offers) if alone else mine
            look.reaches[node] = able.ranges(job.size)
        return look.reaches[node]

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:
        """See `transfer.interface.Locator`."""
        node = node_of(source)
        if node is None:
            return self._inner.pick(job, source, free)
        offers = self._offers(job)
        return rarest(job.size, free, offers[node], offers.values(), self._roll()) if node in offers else None

    def terms(self, source: str) -> Terms:
        """See `transfer.interface.Locator`."""
        live = self._table.live_count()
        if node_of(source) is not None:
            return _OF_FEW if live <= _FEW else _OF_MANY
        terms = self._inner.terms(source)
        if not live or terms.connections is not None:
            return terms
        nodes = 1 + live
        return replace(terms, connections=max(1, START // nodes), losing=max(_LEAST_LOSING, _LOSING // nodes))

    def locate(self, job: Job, source: str) -> Uri:
        """See `transfer.interface.Locator`."""
        node = node_of(source)
        if node is None:
            return self._inner.locate(job, source)
        url, expires_at = self._peers.client.body(self._address(node), job.digest)
        return Uri(source, url, expires_at=expires_at)

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        """See `transfer.interface.Locator`."""
        node = node_of(source)
        if node is None:
            return self._inner.fetch(job, source, start, end)
        address = self._address(node)
        url, _ = self._peers.client.body(address, job.digest)
        wanted = FileRange(job.name, job.origins[0].repo.url_path, job.size, start, end)
        try:
            return open_body(self._peers.client.net, Source(source, address), url, wanted)[0]
        except TemporaryError:
            raise
        except SourcesDownError:
            self._table.gone(node)
            raise
        except GlmAriaError as error:
            self._lacks(node, job, start, end)
            raise TemporaryError(f"{source} no longer sends {job.name!r}", file=job.name, source=source) from error

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        """See `transfer.interface.Locator`. A peer that has something no more is as one that is busy."""
        node = node_of(uri.source)
        if node is None:
            return self._inner.inspect(job, uri, start, end)
        try:
            source = Source(uri.source, self._address(node))
            answer = ask_for_range(self._peers.client.net, source, uri.url, start, end)
        except TemporaryError:
            return RangeAnswer(_BUSY)
        except SourcesDownError:
            self._table.gone(node)
            return RangeAnswer(_BUSY)
        if answer.status in _ABSENT:
            self._lacks(node, job, start, end)
            return RangeAnswer(_BUSY)
        return answer

    def reconnect(self) -> None:
        """See `transfer.interface.Locator`."""
        self._inner.reconnect()
        self._peers.client.net.reconnect()

    def _offers(self, job: Job) -> Mapping[str, Bits]:
        return self._look(job).offers

    def _look(self, job: Job) -> _Look:
        if self._is_for_origins_alone(job):
            return _NOBODY
        digest = job.digest
        mark = (*self._table.mark(digest), self._alone(digest).mask, self.choice.bans)
        look = self._looks.get(digest)
        if look is None or look.mark != mark:
            if len(self._looks) >= _MOST_LOOKS:
                self._looks.clear()
            look = self._looks[digest] = _Look(mark, self._trusted_offers(job))
        return look

    def _trusted_offers(self, job: Job) -> Mapping[str, Bits]:
        count = piece_count(job.size)
        offers = {node: offer for node, offer in self._table.offers(job.digest).items() if offer.count == count}
        for node in [node for node in offers if self.choice.is_banned(source_of(node))]:
            self._peers.accuse(node)
            offers = {name: pieces for name, pieces in offers.items() if name != node}
        return offers

    def _reach_of_origin(self, job: Job, source: str) -> Ranges | None:
        if self._is_for_origins_alone(job):
            return self._inner.reach(job, source)
        reach = self._guide.origin(job)
        alone = self._alone(job.digest)
        offered = [piece for piece in alone if any(piece in offer for offer in self._offers(job).values())]
        if not offered:
            return reach
        wanted = ((0, job.size),) if reach is None else reach
        return tuple(subtract(wanted, Bits.of(alone.count, offered).ranges(job.size)))

    def _is_for_origins_alone(self, job: Job) -> bool:
        return self.choice.is_alone(job) or (job.is_restricted and not self._share_restricted)

    def _lacks(self, node: str, job: Job, start: int, end: int) -> None:
        self._table.lacks(node, job.digest, pieces_of(job.size, [(start, end)]))

    def _address(self, node: str) -> str:
        address = self._table.address(node)
        if address is None:
            raise TemporaryError(f"the peer {node} is gone", source=source_of(node))
        return address
