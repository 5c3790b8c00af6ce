"""Nodes that lie to their peers: what they send is not what they have."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import xxhash

from orchestrator.core.files import Digest
from orchestrator.swarm.holdings import Holding, HoldingNews, Holdings, PieceHash, Readable
from orchestrator.swarm.units import piece_range


class Altering:
    """Gives altered bytes of files of at least `least` bytes; with `name`, that of the node, it also publishes hashes
    that fit them, as if it had fetched all from the origin of the name `source`."""

    def __init__(self, inner: Holdings, *, least: int = 0, name: str | None = None, source: str = "hub") -> None:
        self._inner, self._least, self._name, self._source = inner, least, name, source
        self._forged: dict[tuple[Digest, int], PieceHash] = {}

    def news(self, after: int) -> HoldingNews:
        news = self._inner.news(after)
        return replace(news, holdings=tuple(map(self._told, news.holdings)))

    def _told(self, holding: Holding) -> Holding:
        if self._name is None or holding.size < self._least:
            return holding
        keys = [(holding.digest, piece) for piece in holding.checked]
        for key in keys:
            start, end = piece_range(holding.size, key[1])
            if key not in self._forged and (found := self.read(holding.digest, start, end)) is not None:
                data = os.pread(found.descriptor, end - start, start)
                os.close(found.descriptor)
                self._forged[key] = PieceHash(xxhash.xxh3_128_digest(data), self._name, self._source)
        return replace(holding, hashes={key[1]: self._forged[key] for key in keys if key in self._forged})

    def subscribe(self, call: Callable[[], None]) -> Callable[[], None]:
        return self._inner.subscribe(call)

    def whole(self, digests: Collection[Digest]) -> Mapping[Digest, int]:
        return self._inner.whole(digests)

    def read(self, digest: Digest, start: int, end: int) -> Readable | None:
        found = self._inner.read(digest, start, end)
        if found is None or found.size < self._least:
            return found
        end = min(end, found.size)
        data = bytearray(os.pread(found.descriptor, end - start, start))
        os.close(found.descriptor)
        # The same bytes whichever range is asked for.
        for at in range(-start % 4096, len(data), 4096):
            data[at] ^= 1
        altered = os.memfd_create("altered")
        os.pwrite(altered, data, start)
        os.ftruncate(altered, found.size)
        return Readable(altered, found.size, lambda: True)

    def proven_pieces(self, digest: Digest) -> bytes | None:
        return self._inner.proven_pieces(digest) if self._name is None else None
