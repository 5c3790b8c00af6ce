"""One peer that is asked, again and again, what it has."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from orchestrator.core.exponential import backoff
from orchestrator.core.files import Digest
from orchestrator.errors import NotAllowedError, SourcesDownError
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import MOST_HOLDINGS, Holding, PieceHash
from orchestrator.swarm.peers.client import PeerClient
from orchestrator.swarm.peers.table import PeerTable
from orchestrator.swarm.units import Bits, piece_count

_LEAST_SECONDS = 0.05
"""A peer has what is new wait for 0.1 s; one that does not is asked no more often for that."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 4.0


class Circle(Protocol):
    """Those for whom a peer is asked. Thread-safe; nothing blocks."""

    def wanted(self) -> Mapping[Digest, int]:
        """The blobs that are wanted, and their sizes."""

    def hear(self, node: str, holding: Holding) -> None:
        """A peer says which hashes pieces have."""

    def meet(self, node: str, address: str) -> bool:
        """A peer says who it is; False when it is to be asked no more at this address."""

    def changed(self) -> None:
        """Something changed in the table."""

    def refused(self, address: str) -> None:
        """A peer does not believe our ticket."""


class Asker:
    """Asks the peer at an address until it is over: first which of the wanted blobs it holds whole, then for its news,
    as long as there are any. `run` is for a thread.
    """

    def __init__(self, address: str, client: PeerClient, table: PeerTable, circle: Circle) -> None:
        self.address = address
        self.node: str | None = None
        self.failures = 0
        self._client, self._table, self._circle = client, table, circle
        self._lock = threading.Lock()
        self._asked: set[Digest] = set()
        self._after = self._epoch = 0
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        """True when it is asked no more."""
        return self._over.is_set()

    def end(self) -> None:
        """Ask no more. A question that is under way is not waited for."""
        self._over.set()

    def run(self) -> None:
        """Ask until it is over."""
        while not self.is_over:
            try:
                self.ask_whole()
                if not self.is_over:
                    self._ask_news()
            except Exception as error:  # noqa: BLE001 - whatever a peer's answer raises, the peer is asked again later
                self._failed(error)
                wait = backoff(self.failures, _FIRST_WAIT, _LONGEST_WAIT, 0.5 + random.random() / 2)  # noqa: S311
                self._over.wait(wait)
            else:
                self.failures = 0

    def ask_whole(self) -> None:
        """Ask which of the blobs that were not asked for yet it holds whole. For any thread."""
        wanted = self._circle.wanted()
        with self._lock:
            todo = [digest for digest in wanted if digest not in self._asked]
            self._asked.update(todo)
        try:
            while todo and not self.is_over:
                asked = todo[:MOST_HOLDINGS]
                told = self._client.whole(self.address, asked)
                sizes = {digest: wanted[digest] for digest in asked if told.sizes.get(digest) == wanted[digest]}
                told = replace(told, sizes=sizes)
                if not self._is_to_be_asked(told.node):
                    return
                self._table.told_whole(self.address, told)
                self._circle.changed()
                for digest, size in told.sizes.items():
                    if size > PIECE:
                        self._ask_hashes(told.node, digest, size)
                del todo[:MOST_HOLDINGS]
        except Exception:
            with self._lock:
                self._asked.difference_update(todo)
            raise

    def _ask_hashes(self, node: str, digest: Digest, size: int) -> None:
        pieces = self._client.pieces(self.address, digest, size)
        if pieces is not None:
            hashes = {piece: PieceHash(pieces.hash(piece), node, "") for piece in range(pieces.count)}
            self._circle.hear(node, Holding(digest, size, Bits(piece_count(size)), hashes=hashes))

    def _ask_news(self) -> None:
        begun = time.monotonic()
        told = self._client.news(self.address, self._after, self._epoch)
        if time.monotonic() < begun + _LEAST_SECONDS:
            self._over.wait(_LEAST_SECONDS)
        if told is None:
            self._table.heard(self.node or "")
            return
        if not self._is_to_be_asked(told.node):
            return
        if told.epoch != self._epoch and self._epoch:
            with self._lock:
                self._asked.clear()  # another process, perhaps with another cache
        self._after, self._epoch = told.news.version, told.epoch
        for holding in self._table.told(self.address, told):
            if holding.hashes or holding.claims:
                self._circle.hear(told.node, holding)
        self._circle.changed()

    def _is_to_be_asked(self, node: str) -> bool:
        if not self.is_over and not self._circle.meet(node, self.address):
            self.end()
        self.node = node
        return not self.is_over

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, SourcesDownError) and self.node is not None:
            self._table.gone(self.node)
            self._circle.changed()
        if isinstance(error, NotAllowedError):
            self._circle.refused(self.address)
