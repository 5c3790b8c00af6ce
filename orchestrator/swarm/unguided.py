"""The guide of a node without control: it knows the others by their answers, and decides by rendezvous."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.swarm.holdings import Holding, Peer
from orchestrator.swarm.rendezvous import (
    ALIVE_SECONDS,
    STARVED_SECONDS,
    Moment,
    NodeClocks,
    Other,
    Share,
)
from orchestrator.swarm.units import Bits

_LOOK_SECONDS = 0.1
"""Between two looks at what others have: a transfer asks a hundred times as often."""
_PAUSE_SECONDS = 2.0
"""A transfer that has not asked for so long had nothing to do, and starved of nothing."""


class Neighbour(Protocol):
    """A peer as the table of peers shows it: `heard` is when it answered last, in monotonic seconds."""

    @property
    def node(self) -> str: ...
    @property
    def heard(self) -> float: ...
    @property
    def holdings(self) -> Mapping[Digest, Holding]: ...
    @property
    def is_trusted(self) -> bool: ...
    @property
    def cache(self) -> str: ...


class Unguided:
    """A `Guide`. `among` are the peers that there may be; `see` has to be given what is known of those that answer, and
    which pieces of a blob this node has checked, None for a blob that is not shared.

    Nodes of one `cache` are one member: one of them fetches a blob for it, and the others wait for that one.
    """

    def __init__(
        self,
        node: str,
        among: Callable[[], Sequence[Peer]],
        *,
        cache: str = "",
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._node = cache or node
        self._among = among
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: Callable[[], Sequence[Neighbour]] = tuple
        self._checked: Callable[[Digest], Bits | None] = lambda _digest: None
        self._rests: Callable[[Digest], bool] = lambda _digest: False
        self._shares: dict[Digest, Share] = {}
        self._own: dict[Digest, Bits] = {}
        self._answers: dict[Digest, Ranges] = {}
        self._others: Sequence[Neighbour] = ()
        self._clocks = NodeClocks(clock(), chance())
        self._moment = Moment(-_PAUSE_SECONDS)

    def see(
        self,
        seen: Callable[[], Sequence[Neighbour]],
        checked: Callable[[Digest], Bits | None],
        rests: Callable[[Digest], bool] = lambda _digest: False,
    ) -> None:
        """Look there for what others have, for what this node has, and whether it is to fetch nothing for others."""
        self._seen, self._checked, self._rests = seen, checked, rests

    def peers(self) -> Sequence[Peer]:
        """See `Guide`."""
        return self._among()

    def origin(self, job: Job) -> Ranges | None:
        """See `Guide`."""
        own = self._checked(job.digest)
        if own is None or not job.size:
            return None
        with self._lock:
            now = self._clock()
            if now >= self._moment.now + _LOOK_SECONDS:
                self._look(now)
            answer = self._answers.get(job.digest)
            if answer is None:
                answer = self._answers[job.digest] = self._share(job, own)
            return answer

    def _share(self, job: Job, own: Bits) -> Ranges:
        share = self._shares.get(job.digest)
        if share is None:
            share = self._shares[job.digest] = Share(self._node, job.digest, job.size, self._moment.now)
        others: dict[str, Bits] = {}
        for one in self._others:
            if (holding := one.holdings.get(job.digest)) and holding.size == job.size:
                has = Bits.full(own.count) if holding.is_whole else holding.checked
                name = one.cache or one.node
                others[name] = has | others.get(name, Bits(own.count))
        found = share.of(self._moment, own, [Other(name, has) for name, has in others.items()])
        return () if others and self._moment.starved < STARVED_SECONDS and self._rests(job.digest) else found

    def _look(self, now: float) -> None:
        """Begin a new round of answers: who is there now, did anything come since the last one, is anything left?"""
        has_paused = now > self._moment.now + _PAUSE_SECONDS
        known = {digest: self._checked(digest) for digest in self._shares}
        own = {digest: has for digest, has in known.items() if has is not None and not has.is_full}
        here = (one for one in self._seen() if (one.cache or one.node) != self._node)
        self._others = [one for one in here if one.is_trusted and now < one.heard + ALIVE_SECONDS]
        self._moment = self._clocks.moment(
            now,
            gets=has_paused or own != self._own,
            brings=has_paused or any(self._shares[digest].brings for digest in self._answers),
            others=(any(held.checked for held in one.holdings.values()) for one in self._others),
        )
        self._own = own
        self._shares = {digest: self._shares[digest] for digest in own}
        self._answers.clear()
