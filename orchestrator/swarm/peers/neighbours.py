"""The peers of a node: whom it asks what they have, and what they answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, Self

from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.depot.company import Engine
from orchestrator.errors import TemporaryError
from orchestrator.events import Emit, Notice
from orchestrator.swarm.holdings import Holding, Peer
from orchestrator.swarm.peers.asking import Asker
from orchestrator.swarm.peers.choice import chosen
from orchestrator.swarm.peers.client import PeerClient
from orchestrator.swarm.peers.table import NeighbourView, PeerTable
from orchestrator.system import threads
from orchestrator.system.threads import Pool

_LOOK_SECONDS = 0.5
_FAILING = 6
"""Failures in a row after which another peer is asked in the place of one, if there is any."""
_TWICE_SECONDS = 30.0
"""Until an address is asked again that was this node's own, or another one of a peer that is asked."""
_ASKING = 4


class OwnNews(Protocol):
    """The news of this node, and who takes those of others (`Sharing`). Thread-safe; nothing blocks."""

    def hear(self, teller: str, told: Holding) -> None:
        """A peer says which hashes pieces have."""

    def accuse(self, node: str) -> None:
        """Tell all peers that this one altered bytes."""


class Neighbours:
    """Asks the peers that `among` names, `most` at once. Thread-safe; a context manager, in which they are asked.

    `news` are those of this node. `table` is what the others have.
    """

    def __init__(
        self,
        client: PeerClient,
        among: Callable[[], Sequence[Peer]],
        news: OwnNews,
        *,
        emit: Emit,
        zone: str = "",
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.table = PeerTable(client.me, clock)
        self._among, self._news, self._emit, self._clock = among, news, emit, clock
        self._named: frozenset[str] = frozenset()
        self._zone, self._most = zone, most
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._wanted: dict[Digest, int] = {}
        self._askers: dict[str, Asker] = {}
        self._not_before: dict[str, float] = {}
        self._warned: set[str] = set()
        self._calls: list[Callable[[], None]] = []
        self._is_over = False
        self._is_woken = threading.Event()
        self._pool = Pool(_ASKING, "ask-whole")
        self._thread = threading.Thread(target=self._work, name="peers", daemon=True)

    def __enter__(self) -> Self:
        threads.start(self._thread)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ask nobody any more. Who is being asked is not waited for."""
        self._is_over = True
        self._is_woken.set()
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for asker in self._askers.values():
            asker.end()

    # -- company of a depot

    def join(self, engine: Engine) -> None:
        """See `depot.company.Company`."""
        self._engine = engine

    def want(self, job: Job) -> None:
        """Ask the peers for this blob, too. Does not block. To be called once the hashes of its pieces are of use."""
        with self._lock:
            if job.digest in self._wanted:
                return
            self._wanted[job.digest] = job.size
        for node, holding in self.table.hashes([job.digest]):
            self._news.hear(node, holding)
        self._is_woken.set()

    def forget(self, digests: Collection[Digest]) -> None:
        """Ask for these blobs no more, and forget who has them."""
        with self._lock:
            for digest in digests:
                self._wanted.pop(digest, None)
        self.table.forget(digests)

    # -- what is known

    def accuse(self, node: str) -> None:
        """Ask a peer no more, and believe nothing that it says: it altered bytes, or published hashes of others. All
        are told."""
        if self.table.accuse(node):
            self._news.accuse(node)
            self.changed()

    def shun(self, nodes: Collection[str]) -> None:
        """Schedulers say that these altered bytes, in the place of those of before."""
        self.table.shun(nodes)
        self.changed()

    def seen(self) -> Sequence[NeighbourView]:
        """All peers that were heard of."""
        return self.table.seen()

    def subscribe(self, call: Callable[[], None]) -> None:
        """Have `call` called, by another thread, when something changed."""
        self._calls.append(call)

    # -- who is asked

    def _work(self) -> None:
        while not self._is_over:
            is_new = self._is_woken.is_set()
            self._is_woken.clear()
            with suppress(TemporaryError):  # no thread to be had now
                self._look()
                for asker in tuple(self._askers.values()) if is_new else ():
                    if asker.node is not None:
                        self._pool.submit(self._ask_whole, asker)
            self._is_woken.wait(_LOOK_SECONDS)

    def _look(self) -> None:
        """Begin to ask those who are to be asked, and end with the others."""
        now = self._clock()
        self._askers = {address: asker for address, asker in self._askers.items() if not asker.is_over}
        failing = {address for address, asker in self._askers.items() if asker.failures >= _FAILING}
        among = [peer for peer in self._among() if self._not_before.get(peer.address, now) <= now]
        wanted = {peer.address for peer in chosen(self.client.me, self._zone, among, self._most, failing)}
        for address, asker in self._askers.items():
            if address not in wanted:
                asker.end()
        for address in wanted - self._askers.keys():
            asker = Asker(address, self.client, self.table, self)
            threads.start(threading.Thread(target=asker.run, name="peer", daemon=True))
            self._askers[address] = asker

    # -- what askers find

    def wanted(self) -> Mapping[Digest, int]:
        """See `Circle`."""
        with self._lock:
            return dict(self._wanted)

    def hear(self, node: str, holding: Holding) -> None:
        """See `Circle`."""
        self._news.hear(node, holding)

    def meet(self, node: str, address: str) -> bool:
        """See `Circle`: neither this node itself, nor a peer that is asked at another address."""
        others = [one for one in tuple(self._askers.values()) if one.node == node and one.address != address]
        if node == self.client.me or any(not one.is_over and not one.failures for one in others):
            self._not_before[address] = self._clock() + _TWICE_SECONDS
            return False
        return True

    def changed(self) -> None:
        """See `Circle`."""
        self._name_liars()
        if self._engine is not None:
            self._engine.stir()
        for call in tuple(self._calls):
            call()

    def refused(self, address: str) -> None:
        """See `Circle`."""
        if address not in self._warned:
            self._warned.add(address)
            words = f"the peer at {address} does not take our ticket, or has none of our keys: give both machines the"
            words += " same fleet key, look at their clocks, and name there what is not its own address (fleet.hosts)"
            self._emit(Notice("peer-refused", words))

    def _name_liars(self) -> None:
        with self._lock:
            named, self._named = self._named, self._named | self.table.distrusted
        for node in sorted(self._named - named):
            if node == self.client.me:
                words = "other nodes say that this one sent them altered bytes: they take nothing from it any more, and"
                words += " it fetches nothing for them; check its memory, its disk and its network"
                self._emit(Notice("node-accused", words))
                continue
            is_ours = self.table.has_found(node)
            words = "sent altered bytes, or hashes of others" if is_ours else "sent others altered bytes"
            self._emit(Notice("peer-altered", f"the peer {node} {words}; it is not asked any more"))

    @staticmethod
    def _ask_whole(asker: Asker) -> None:
        with suppress(Exception):  # its own thread finds out what is the matter
            asker.ask_whole()
