"""The holdings of this node: pieces of the blobs that a depot fetches, checked as they arrive, and what the cache has.

One thread reads and hashes what arrived. Questions are answered from the ledgers, and never wait for that.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Self

from orchestrator.cache.cache import HfCache
from orchestrator.core.files import Digest
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import OWN_MATTER, Doubt, Engine
from orchestrator.depot.watch import State, Watch
from orchestrator.swarm.holdings import MOST_ACCUSED, Holding, HoldingNews, Readable
from orchestrator.swarm.sharing.blob import SharedBlob
from orchestrator.swarm.sharing.dispute import BlobDispute, Others
from orchestrator.swarm.sharing.hashing import SpanHasher
from orchestrator.swarm.sharing.ledger import Altered, PieceLedger
from orchestrator.swarm.sharing.news import news_of
from orchestrator.swarm.sharing.settling import Settlement
from orchestrator.swarm.sharing.stock import Stock
from orchestrator.swarm.units import Bits, Piece, piece_range
from orchestrator.system import threads
from orchestrator.system.failures import on_disk
from orchestrator.system.queues import OneReaderQueue
from orchestrator.system.small_files import open_regular
from orchestrator.transfer.spans import SMALL

_AT_ONCE = 8
"""Pieces of one blob that are hashed before others have their turn."""
_KEPT_SECONDS = 300.0
"""For which a blob that was placed, or given up, stays among the news, with the hashes of its pieces."""
_PROVEN = (State.PROVEN, State.PLACED)


class Sharing:
    """The `Holdings` of a node, and company of its depot: all of it for a node that gives and asks nobody.

    Thread-safe; a context manager.

    `is_open` says of a repo folder of the cache that everybody may have its blobs; with `share_restricted` the fleet
    may have those of gated and private repos, too. `wrong` is told which peer altered which piece.
    """

    def __init__(
        self,
        node: str,
        blobs: HfCache,
        *,
        is_open: Callable[[str], bool],
        wrong: Callable[[Digest, Piece, str], None],
        share_restricted: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._clock = clock
        self._wrong = wrong
        self._share_restricted = share_restricted
        self._stock = Stock(blobs, lambda folder: share_restricted or is_open(folder))
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._version = 0
        self._accused: frozenset[str] = frozenset()
        self._entries: dict[Digest, SharedBlob] = {}  # the one that changed last is the last
        self._over: deque[tuple[float, SharedBlob]] = deque()
        self._calls: list[Callable[[], None]] = []
        self._noted: OneReaderQueue[SharedBlob | None] = OneReaderQueue()
        self._hasher = SpanHasher()
        self._thread = threading.Thread(target=self._check, name="check")
        threads.start(self._thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give nothing any more."""
        self._noted.put(None)
        self._thread.join()
        with self._lock:
            entries, self._entries = self._entries, {}
        for entry in entries.values():
            entry.watch.close()

    # -- company of a depot

    def around(self, locator: Choosing) -> Choosing:
        """See `depot.company.Company`. Who shares is no source: peers are (`swarm.peers`)."""
        return locator

    def join(self, engine: Engine) -> None:
        """See `depot.company.Company`."""
        self._engine = engine

    def follow(self, watch: Watch) -> None:
        """See `depot.company.Company`."""
        job = watch.job
        if job.is_restricted and not self._share_restricted:
            watch.close()
            return
        with self._lock:
            ledger = PieceLedger(job.digest, job.size, self._node, self._next_version)
            dispute = BlobDispute(Settlement(self._node, job.digest, self._clock()))
            entry = SharedBlob(watch, ledger, dispute, watch.epoch)
            self._entries.pop(job.digest, None)
            self._entries[job.digest] = entry
        watch.subscribe(partial(self._note, entry))
        self._note(entry)
        self._tell()

    def doubt(self, digest: Digest, trusted: str, others: Others | None = None) -> Doubt | None:
        """See `depot.company.Company`; None for `others` who asks nobody."""
        with self._changing(digest) as entry:
            if entry is None or entry.watch.job.size < SMALL:
                return OWN_MATTER
            entry.catch_up()
            if entry.ledger.to_hash:
                self._note(entry)
            dispute = entry.dispute
            doubt = dispute.doubt(entry.ledger, trusted, others, self._clock())
            entry.ledger.dispute(dispute.settlement.claims)
            liars, dispute.liars = dispute.liars, []
        self._accuse(digest, [Altered(0, liar) for liar in liars])
        return doubt

    def settlers(self, digest: Digest) -> frozenset[str]:
        """The other nodes that settle a dispute over a blob, and are to be waited for."""
        with self._lock:
            entry = self._entries.get(digest)
            return entry.dispute.settlement.others(self._clock()) if entry else frozenset()

    # -- what peers say, and what is said of them

    def accuse(self, node: str) -> None:
        """Tell all peers that this one altered bytes."""
        with self._lock:
            if len(self._accused) < MOST_ACCUSED:
                self._accused |= {node}
                self._next_version()
        self._tell()

    def hear(self, teller: str, told: Holding) -> None:
        """A peer says which hashes pieces have."""
        altered: list[Altered | None] = []
        with self._changing(told.digest) as entry:
            if entry is None or told.size != entry.watch.job.size:
                return
            for piece, one in told.hashes.items():
                altered.append(entry.ledger.hear(teller, piece, one))
            if told.claims:
                entry.dispute.settlement.hear(told.claims, self._clock())
                entry.ledger.dispute(entry.dispute.settlement.claims)
            self._take_back(entry)
        self._accuse(told.digest, altered)

    def checked(self, digest: Digest) -> Bits | None:
        """The checked pieces of a blob of the depot; None for any other."""
        with self._lock:
            entry = self._entries.get(digest)
            return entry.ledger.checked if entry else None

    def alone(self, digest: Digest) -> Bits:
        """The pieces of a blob that were wrong and had several senders: they are to come from one."""
        with self._lock:
            entry = self._entries.get(digest)
            return entry.ledger.alone if entry else Bits(0)

    # -- Holdings

    def news(self, after: int) -> HoldingNews:
        """See `swarm.holdings.Holdings`."""
        with self._lock:
            newest_first = (entry.ledger for entry in reversed(self._entries.values()))
            return news_of(newest_first, after, self._version, self._accused)

    def subscribe(self, call: Callable[[], None]) -> Callable[[], None]:
        """See `swarm.holdings.Holdings`."""
        with self._lock:
            self._calls.append(call)

        def end() -> None:
            with self._lock, suppress(ValueError):
                self._calls.remove(call)

        return end

    def whole(self, digests: Collection[Digest]) -> Mapping[Digest, int]:
        """See `swarm.holdings.Holdings`."""
        found: dict[Digest, int] = {}
        for digest in digests:
            entry = self._entries.get(digest)
            if entry is not None and entry.watch.state is State.PROVEN:
                found[digest] = entry.watch.job.size
            elif (size := self._stock.size(digest, is_open=entry is not None)) is not None:
                found[digest] = size
        return found

    def read(self, digest: Digest, start: int, end: int) -> Readable | None:
        """See `swarm.holdings.Holdings`."""
        entry = self._entries.get(digest)
        if entry is None:
            return self._stock.open(digest)
        watch, size = entry.watch, entry.watch.job.size
        span = start, min(end, size)
        with self._changing(digest):
            entry.catch_up()
            if not entry.ledger.has(*span):
                return None
            epoch = entry.epoch
        if watch.state is not State.PLACED:
            with on_disk("read", watch.part), suppress(FileNotFoundError):  # it is on its way into the cache
                return Readable(open_regular(watch.part), size, lambda: entry.is_untouched(epoch, span))
        found = self._stock.open(digest, is_open=True)
        if found is None and watch.state is State.PLACED:
            with self._changing(digest):  # it was removed from the cache
                entry.ledger.replace(((0, size),))
        return found

    def proven_pieces(self, digest: Digest) -> bytes | None:
        """See `swarm.holdings.Holdings`."""
        return self._stock.pieces(digest, is_open=digest in self._entries)

    # -- what arrives

    def _note(self, entry: SharedBlob) -> None:
        if not entry.is_noted:
            entry.is_noted = True
            self._noted.put(entry)

    def _check(self) -> None:
        while (entry := self._noted.get(math.inf)) is not None:
            entry.is_noted = False
            now = self._clock()
            self._look(entry)
            if entry.watch.has_ended and not entry.is_over:
                entry.is_over = True
                self._over.append((now + _KEPT_SECONDS, entry))
            self._forget_over()

    def _forget_over(self) -> None:
        """Keep nothing any more of what ended long ago: if placed, it is in the cache, by its digest."""
        while self._over and self._over[0][0] <= self._clock():
            _, entry = self._over.popleft()
            with self._lock:
                if self._entries.get(entry.watch.job.digest) is entry:
                    del self._entries[entry.watch.job.digest]

    def _look(self, entry: SharedBlob) -> None:
        """See what became of a blob, and hash some of what is there."""
        watch, ledger, job = entry.watch, entry.ledger, entry.watch.job
        with self._changing(job.digest):
            entry.catch_up()
            epoch = entry.epoch
            arrived, state = watch.arrived, watch.state
            if watch.epoch != epoch:
                self._note(entry)
                return
            altered: Sequence[Altered] = ()
            if state in _PROVEN:
                altered = ledger.prove()
            elif state is State.LOST:
                ledger.replace(((0, job.size),))
            else:
                ledger.arrive(arrived)
            self._take_back(entry)
            todo = ledger.to_hash if job.size >= SMALL else Bits(0)
        self._accuse(job.digest, altered)
        # What cannot be read now is looked at again when more comes.
        with suppress(OSError), self._open(entry) as file:
            for piece in islice(todo, _AT_ONCE):
                found = self._hasher.hash(file, piece_range(job.size, piece))
                with self._changing(job.digest):
                    if watch.epoch != epoch:
                        break
                    one = ledger.found(piece, found)
                    self._take_back(entry)
                self._accuse(job.digest, [one])
            if len(todo) > _AT_ONCE:
                self._note(entry)

    @contextmanager
    def _open(self, entry: SharedBlob) -> Iterator[int]:
        try:
            file = open_regular(entry.watch.part)
        except FileNotFoundError:
            found = self._stock.open(entry.watch.job.digest, is_open=True)
            if found is None:
                raise
            file = found.descriptor
        try:
            yield file
        finally:
            os.close(file)

    def _take_back(self, entry: SharedBlob) -> None:
        """Have what is wrong fetched again. Of what is asked for in one epoch the first counts, so all is asked for
        again in the next one. To be called with the lock held."""
        wrong, job = entry.ledger.wrong, entry.watch.job
        if wrong and wrong != entry.dropped and self._engine is not None:
            entry.dropped = wrong
            self._engine.drop(job.digest, wrong.ranges(job.size), epoch=entry.epoch)

    def _accuse(self, digest: Digest, altered: Iterable[Altered | None]) -> None:
        for one in altered:
            if one is not None:
                self._wrong(digest, one.piece, one.peer)

    @contextmanager
    def _changing(self, digest: Digest) -> Iterator[SharedBlob | None]:
        """Hold the lock, and tell afterwards if the blob's ledger changed."""
        with self._lock:
            entry = self._entries.get(digest)
            before = entry.ledger.version if entry else 0
            yield entry
            if entry is None or entry.ledger.version == before or self._entries.get(digest) is not entry:
                return
            self._entries[digest] = self._entries.pop(digest)
        self._tell()

    def _tell(self) -> None:
        for call in tuple(self._calls):
            call()
        if self._engine is not None:  # what is checked here decides what this node fetches for the others
            self._engine.stir()

    def _next_version(self) -> int:
        self._version += 1
        return self._version
