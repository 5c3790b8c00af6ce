"""The work of a node for its schedulers: which leases are done, how fast the others go, and if it starves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from orchestrator.core.extents import intersect, total
from orchestrator.core.files import Digest
from orchestrator.depot.watch import Watch
from orchestrator.swarm.control.guide import FleetGuide
from orchestrator.swarm.control.messages import Assign, LeaseProgress, OriginBusy
from orchestrator.swarm.holdings import Holding
from orchestrator.swarm.units import pieces_within

_STARVING = 1.0
"""Seconds without bytes and without a lease."""
_SAME = 0.5
"""Seconds by which an origin has to want to be left alone for longer than was told, to be told again."""
Rests = Callable[[], Mapping[str, float]]
"""The origins that want to be left alone, each with the seconds that are left of that."""


class OriginRests:
    """Notices which origins want to be left alone, and which of them for longer."""

    def __init__(self, rests: Rests, clock: Callable[[], float]) -> None:
        self._rests = rests
        self._clock = clock
        self._until: dict[str, float] = {}

    def news(self) -> Iterator[OriginBusy]:
        """Those that were not told yet."""
        for host, left in self._rests().items():
            until = self._clock() + left
            if until > self._until.get(host, 0.0) + _SAME:
                self._until[host] = until
                yield OriginBusy(host, math.ceil(left))


class WorkGauge:
    """Measures the leases of a guide. `watches` and `held` are the blobs on their way, and what is held of each."""

    def __init__(self, guide: FleetGuide, clock: Callable[[], float]) -> None:
        self._guide = guide
        self._clock = clock
        self.watches: dict[Digest, Watch] = {}
        self.held: dict[Digest, Holding] = {}
        self._done: dict[str, tuple[float, int]] = {}
        self._moved: tuple[float, int] = (clock(), 0)

    def forget(self, digest: Digest) -> None:
        """Look at a blob no more."""
        self.watches.pop(digest, None)
        self.held.pop(digest, None)

    def is_done(self, given: Assign) -> bool:
        """True when all of a lease is checked, or whole."""
        if given.digest is None:
            return all(self._is_whole(digest) for digest in given.bundle)
        holding = self.held.get(given.digest)
        if holding is None:
            return False
        if holding.is_whole:
            return True
        wanted = pieces_within(holding.size, [(given.start, given.end)])
        return not wanted - holding.checked

    def is_elsewhere(self, given: Assign) -> bool:
        """True when another process of this cache fetches some of it: nothing comes of it here."""
        digests = given.bundle if given.digest is None else (given.digest,)
        return any((watch := self.watches.get(digest)) is not None and watch.is_elsewhere for digest in digests)

    def _is_whole(self, digest: Digest) -> bool:
        holding = self.held.get(digest)
        return holding is not None and holding.is_whole

    def progress(self) -> tuple[LeaseProgress, ...]:
        """The leases, each with its rate since the last call."""
        now, found = self._clock(), []
        for given in self._guide.leases:
            done = self._arrived(given)
            then, before = self._done.get(given.lease, (now, done))
            rate = (done - before) / (now - then) if now > then else 0.0
            self._done[given.lease] = (now, done)
            found.append(LeaseProgress(given.lease, done, max(0, int(rate))))
        self._done = {one.lease: self._done[one.lease] for one in found}
        return tuple(found)

    def _arrived(self, given: Assign) -> int:
        """The bytes of a lease that are here."""
        if given.digest is None:
            return sum(self.held[digest].size for digest in given.bundle if self._is_whole(digest))
        watch = self.watches.get(given.digest)
        if watch is None:
            return 0
        here = ((one.start, one.end) for one in watch.arrived.items)
        return total(intersect(here, [(given.start, given.end)]))

    def is_starving(self) -> bool:
        """True when the node wants something, and for a second nothing came and there was nothing to fetch."""
        wanted = [watch for watch in list(self.watches.values()) if not watch.has_ended]
        arrived = sum(watch.arrived.total for watch in list(self.watches.values()))
        now = self._clock()
        if arrived != self._moved[1] or self._guide.leases or not wanted:
            self._moved = (now, arrived)
        return now - self._moved[0] >= _STARVING
