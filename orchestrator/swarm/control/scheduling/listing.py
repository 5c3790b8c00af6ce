"""The listing of a task: the distinct blobs of its lock file, and how small ones are bundled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate

from orchestrator.core.files import Digest
from orchestrator.lists.lockfile import parse_lock
from orchestrator.swarm.units import Bits
from orchestrator.swarm.view import Bundle, bundles_of

_FINGERPRINT = 32


@dataclass(frozen=True, slots=True)
class TaskListing:
    """The blobs of a task with their sizes and the kind of site that each is of, in the order of the lock.

    `bundles` are its small files; `places` is the place of each of those among all of them, and `firsts` the place of
    the first one of each bundle. `large` are the others. `fingerprint` is that of the small ones in their order.
    """

    sizes: Mapping[Digest, int]
    hosts: Mapping[Digest, str]
    bundles: tuple[Bundle, ...]
    places: Mapping[Digest, int]
    firsts: tuple[int, ...]
    large: tuple[Digest, ...]
    fingerprint: str

    @staticmethod
    @lru_cache(maxsize=16)
    def of(task: str, lock: str) -> TaskListing:
        """The listing of a lock file. A long one takes seconds: who reads it in a thread first has it read there alone.
        Raises UsageError, UnsafeError."""
        sizes: dict[Digest, int] = {}
        hosts: dict[Digest, str] = {}
        for model in parse_lock(lock, "the lock file of the task").models:
            at = model.pinned or model.ref
            for file in model.tree().files:
                sizes.setdefault(file.digest, file.size)
                hosts.setdefault(file.digest, at.catalog.name)
        bundles, large = bundles_of(task, sizes.items())
        small = [digest for bundle in bundles for digest in bundle.digests]
        firsts = tuple(accumulate((len(bundle.digests) for bundle in bundles), initial=0))
        places = {digest: place for place, digest in enumerate(small)}
        fingerprint = sha256("\n".join(map(str, small)).encode()).hexdigest()[:_FINGERPRINT]
        return TaskListing(sizes, hosts, bundles, places, firsts, tuple(digest for digest, _ in large), fingerprint)

    @property
    def size(self) -> int:
        """The bytes of all blobs."""
        return sum(self.sizes.values())

    def part(self, index: int, files: Bits) -> Bits:
        """The files of the bundle number `index` that a node has, of all small files that it has."""
        count = len(self.bundles[index].digests)
        return Bits(count, files.mask >> self.firsts[index] & ((1 << count) - 1))

    def with_bundle(self, index: int, files: Bits) -> Bits:
        """All small files that a node has that had those, and now has this bundle."""
        full = Bits.full(len(self.bundles[index].digests)).mask
        return Bits(len(self.places), files.mask | full << self.firsts[index])
