"""What a node has to give, as tests set it: one blob in one file."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding, HoldingNews, Readable
from orchestrator.swarm.units import Bits, piece_count


def digest_of(data: bytes) -> Digest:
    return Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest())


class Shelf:
    """Holdings of one blob, of which these pieces are checked. `taken_back` makes what is being read count for nothing.

    Counts what is asked of it, and how many descriptors it gave out.
    """

    def __init__(self, path: Path, data: bytes, pieces: Collection[int] | None = None) -> None:
        self.path = path
        self.path.write_bytes(data)
        self.digest, self.size = digest_of(data), len(data)
        count = piece_count(self.size)
        self.checked = Bits.full(count) if pieces is None else Bits.of(count, pieces)
        self.version = 1
        self.taken_back = False
        self.list_of_pieces: bytes | None = None
        self.asked: list[str] = []
        self.calls: dict[int, Callable[[], None]] = {}
        self.subscribed = threading.Event()
        self.given: list[int] = []
        self.on_ask: Callable[[], None] = lambda: None

    def news(self, after: int) -> HoldingNews:
        self.asked.append("news")
        held = Holding(self.digest, self.size, self.checked, self.checked.is_full)
        return HoldingNews(self.version, (held,) if self.version > after else ())

    def subscribe(self, call: Callable[[], None]) -> Callable[[], None]:
        key = len(self.calls)
        self.calls[key] = call
        self.subscribed.set()

        def end() -> None:
            del self.calls[key]

        return end

    def change(self, *pieces: int) -> None:
        """Have some more pieces checked, and tell it."""
        self.checked |= Bits.of(self.checked.count, pieces)
        self.version += 1
        for call in tuple(self.calls.values()):
            call()

    def whole(self, digests: Collection[Digest]) -> Mapping[Digest, int]:
        self.asked.append("whole")
        return {self.digest: self.size} if self.digest in digests and self.checked.is_full else {}

    def read(self, digest: Digest, start: int, end: int) -> Readable | None:
        self.asked.append("read")
        end = min(end, self.size)
        pieces = range(start // PIECE, -(-end // PIECE))
        if digest != self.digest or not all(piece in self.checked for piece in pieces):
            return None
        descriptor = os.open(self.path, os.O_RDONLY)
        self.given.append(descriptor)
        return Readable(descriptor, self.size, self._is_still_right)

    def proven_pieces(self, digest: Digest) -> bytes | None:
        self.asked.append("pieces")
        return self.list_of_pieces if digest == self.digest else None

    def _is_still_right(self) -> bool:
        self.on_ask()
        return not self.taken_back
