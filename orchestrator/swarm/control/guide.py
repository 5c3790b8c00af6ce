"""The guide of a node that schedulers lead: its leases and its peers. Without schedulers another guide has the word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

from orchestrator.core.extents import Range, Ranges, union
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.events import Emit, FleetNews, Notice
from orchestrator.swarm.control.messages import Assign
from orchestrator.swarm.guides import Guide
from orchestrator.swarm.holdings import Peer

_MOST_KNOWN = 64
"""Peers that are remembered for the time without schedulers."""


class FleetGuide:
    """A `Guide`. The guide that `unguided` makes has the word while `is_alone`; it knows the others by `known`. A node
    that is drained gets no leases, and what it still lacks may be nobody's: that guide has the word on the origin, too.
    `stir` is called after each change, `distrust` with all nodes that schedulers say to have altered bytes."""

    def __init__(self, unguided: Callable[[Callable[[], Sequence[Peer]]], Guide], *, share_restricted: bool) -> None:
        self._unguided = unguided(self.known)
        self.stir: Callable[[], None] = lambda: None
        self.distrust: Callable[[Collection[str]], None] = lambda _: None
        self._share_restricted = share_restricted
        self._lock = threading.Lock()
        self._listed: frozenset[Digest] = frozenset()
        self._leases: dict[str, Assign] = {}
        self._ranges: dict[Digest, Ranges] = {}
        self._peers: tuple[Peer, ...] = ()
        self._known: dict[str, Peer] = {}
        self._shunned: frozenset[str] = frozenset()
        self._is_alone = False
        self._is_drained = False

    # -- for the transfer

    def origin(self, job: Job) -> Ranges | None:
        """See `Guide`. A blob of no task is nobody else's matter."""
        with self._lock:
            if job.digest not in self._listed or (job.is_restricted and not self._share_restricted):
                return None
            leased = self._ranges.get(job.digest, ())
            if not (self._is_alone or self._is_drained):
                return leased
        own = self._unguided.origin(job)
        return own if own is None or self._is_alone else union((*own, *leased))

    def peers(self) -> Sequence[Peer]:
        """See `Guide`."""
        with self._lock:
            found = self._known.values() if self._is_alone else self._peers
            return [peer for peer in found if peer.node not in self._shunned]

    def known(self) -> Sequence[Peer]:
        """The peers that were named lately."""
        with self._lock:
            return list(self._known.values())

    # -- for who speaks to schedulers

    @property
    def is_alone(self) -> bool:
        """True while there is no scheduler."""
        return self._is_alone

    @is_alone.setter
    def is_alone(self, is_alone: bool) -> None:
        if is_alone != self._is_alone:
            self._is_alone = is_alone
            self.stir()

    def drain(self) -> None:
        """There will be no more leases."""
        self._is_drained = True
        self.stir()

    def expect(self, digests: Collection[Digest]) -> None:
        """These blobs are a task's: their bytes come by leases and peers."""
        with self._lock:
            self._listed |= frozenset(digests)
        self.stir()

    def forget(self, digests: Collection[Digest]) -> None:
        """These blobs are no task's any more."""
        with self._lock:
            self._listed -= frozenset(digests)

    def expects(self, digest: Digest) -> bool:
        """True for a blob of a task."""
        return digest in self._listed

    @property
    def leases(self) -> tuple[Assign, ...]:
        """All that this node is to fetch for the others."""
        with self._lock:
            return tuple(self._leases.values())

    def lease(self, given: Assign) -> None:
        """Fetch this for the others, too."""
        with self._lock:
            self._leases[given.lease] = given
            self._see()
        self.stir()

    def drop(self, leases: Iterable[str]) -> None:
        """Fetch these no more: they are done, or another node's."""
        with self._lock:
            for lease in leases:
                self._leases.pop(lease, None)
            self._see()
        self.stir()

    def name(self, peers: Sequence[Peer]) -> None:
        """Ask these peers, in the place of those of before."""
        with self._lock:
            self._peers = tuple(peers)
            for peer in peers:
                self._known.pop(peer.node, None)
                self._known[peer.node] = peer
            for node in list(self._known)[:-_MOST_KNOWN]:
                del self._known[node]
        self.stir()

    def shun(self, nodes: Collection[str]) -> None:
        """Ask none of these nodes, and believe none of what they say."""
        with self._lock:
            self._shunned = frozenset(nodes)
        self.distrust(nodes)
        self.stir()

    def _see(self) -> None:
        ranges: dict[Digest, list[Range]] = {}
        for given in self._leases.values():
            if given.digest is not None:
                ranges.setdefault(given.digest, []).append((given.start, given.end))
            for digest in given.bundle:
                ranges.setdefault(digest, []).append((0, 1 << 62))
        self._ranges = {digest: union(found) for digest, found in ranges.items()}


class Lead:
    """The lead of a node by one of its schedulers, which have these names: told to people, and to its guide."""

    def __init__(self, guide: FleetGuide, names: Sequence[str], emit: Emit) -> None:
        self._guide = guide
        self._names = names
        self._emit = emit
        self._leader = ""
        self._refused: dict[str, str] = {}
        self._is_warned = False

    @property
    def refusal(self) -> str:
        """The word of one of them, when all have refused this node; else empty."""
        return list(self._refused.values())[-1] if len(self._refused) == len(self._names) else ""

    def welcomed(self, name: str) -> None:
        """This one leads from now on."""
        self._refused.clear()
        self._guide.is_alone = False
        if self._leader != name:
            self._leader = name
            self._emit(FleetNews("scheduler", f"plans come from {name}"))

    def refused(self, name: str, why: str) -> None:
        """This one does not let the node in; with its word it is told once."""
        if self._refused.get(name) != why:
            self._refused[name] = why
            self._emit(Notice("fleet-refused", why))
        if self.refusal:
            self._guide.is_alone = True

    def lost(self) -> None:
        """None has been there for long."""
        self._guide.is_alone = True
        self._leader = ""
        if not self._is_warned:
            self._is_warned = True
            then = (
                "the nodes agree among themselves"
                if self._guide.known()
                else "this node knows no others, and fetches all by itself"
            )
            names = ", ".join(self._names)
            self._emit(Notice("fleet-without-scheduler", f"no scheduler answers ({names}); {then}"))
