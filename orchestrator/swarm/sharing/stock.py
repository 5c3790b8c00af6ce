"""The proven blobs of the cache, by digest: whichever repo has them, as long as they may be shared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from orchestrator.cache.cache import HfCache
from orchestrator.cache.inventory import copies, look
from orchestrator.cache.proofs import Stamp, stamp
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import render
from orchestrator.swarm.holdings import Readable
from orchestrator.system.small_files import open_regular


class Stock:
    """Blobs that were proven here, and are still the files that were proven. Thread-safe.

    `may_share` says of a repo folder whether others may have its blobs. Of a digest that an open repo is known to list
    (`is_open`) it does not matter where it lies.
    """

    def __init__(self, blobs: HfCache, may_share: Callable[[str], bool]) -> None:
        self._blobs = blobs
        self._may_share = may_share

    def size(self, digest: Digest, *, is_open: bool = False) -> int | None:
        """The size of a blob; None when it is not here, or may not be shared."""
        for path, proof in self._places(digest, is_open=is_open):
            with suppress(OSError):
                here = look(path, self._blobs.layout.cache_dir)
                if here is not None and stamp(here) == proof:
                    return proof[0]
        return None

    def open(self, digest: Digest, *, is_open: bool = False) -> Readable | None:
        """A blob, open for reading; None as in `size`."""
        for path, proof in self._places(digest, is_open=is_open):
            with suppress(OSError):
                if look(path, self._blobs.layout.cache_dir) is None:
                    continue
                descriptor = open_regular(os.path.realpath(path))
                if stamp(os.fstat(descriptor)) == proof:
                    return Readable(descriptor, proof[0], partial(_is_still, descriptor, proof))
                os.close(descriptor)
        return None

    def pieces(self, digest: Digest, *, is_open: bool = False) -> bytes | None:
        """The proven list of a blob's piece hashes; None as in `size`, and where none is kept."""
        if self.size(digest, is_open=is_open) is None:
            return None
        found = self._blobs.pieces.load(digest)
        return None if found is None else render(found)

    def _places(self, digest: Digest, *, is_open: bool) -> Iterator[tuple[Path, Stamp]]:
        lends = (lambda _folder: True) if is_open else self._may_share
        return copies(self._blobs.layout, self._blobs.proofs, digest, lends)


def _is_still(descriptor: int, proof: Stamp) -> bool:
    try:
        return stamp(os.fstat(descriptor)) == proof
    except OSError:
        return False
