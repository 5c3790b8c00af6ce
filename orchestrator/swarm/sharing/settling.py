"""Settling of disputes: which one of the nodes that find a blob wrong fetches it again for all. Pure.

A node whose whole blob is wrong claims that it will settle that, unless another one has said so before. Claims travel
with the news of what nodes have, so those that come at the same time are known to all a moment later, and of these the
one with the highest hash counts. The others wait for its proven list of piece hashes, and mend their pieces from it. A
claim holds them up for a bounded time: the node that made it may be dead, slow, or a liar.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import xxhash

from orchestrator.core.files import Digest
from orchestrator.swarm.holdings import MOST_CLAIMS

_GRACE_SECONDS = 2.0
"""In which claims that were made at the same time become known."""
_LEAST_SECONDS, _TIMES = 10.0, 2.0
"""For which others wait for who claimed: these, and so many times what the blob took until the first one did. Who
settles it fetches one copy at most, alone, and all together had fetched one."""
_MOST_WAITS = 3
"""Nodes that claimed it, and were waited for in vain: after these nobody else is."""


class Settlement:
    """The claims to settle the dispute over a blob, as the node of this name sees them, which `began` with the blob
    then. Times are seconds of one clock."""

    def __init__(self, node: str, digest: Digest, began: float) -> None:
        self._node, self._digest, self._began = node, digest, began
        self._heard: dict[str, float] = {}
        self._is_ours = False

    @property
    def claims(self) -> frozenset[str]:
        """The nodes that claim to settle it."""
        return frozenset(self._heard)

    def hear(self, nodes: Iterable[str], now: float) -> None:
        """A peer says that these claim it."""
        for node in nodes:
            if node != self._node and len(self._heard) < MOST_CLAIMS:
                self._heard.setdefault(node, now)

    def others(self, now: float) -> frozenset[str]:
        """The other nodes that are still to be waited for."""
        return frozenset(node for node, when in self._heard.items() if node != self._node and now < self._until(when))

    def is_ours(self, absent: Collection[str], now: float) -> bool:
        """True when this node is to settle it, from then on. Asked again and again, it claims that when nobody else
        does. `absent` are nodes that cannot."""
        others = self.others(now).difference(absent)
        mine = self._heard.get(self._node)
        if mine is None and not others:
            mine = self._heard[self._node] = now
        if mine is not None and now >= mine + _GRACE_SECONDS:
            self._is_ours |= self._node == max((*others, self._node), key=self._rank)
        in_vain = sum(now >= self._until(when) for node, when in self._heard.items() if node != self._node)
        return self._is_ours or in_vain >= _MOST_WAITS

    def _until(self, heard: float) -> float:
        took = min(self._heard.values()) - self._began
        return heard + _LEAST_SECONDS + _TIMES * took

    def _rank(self, node: str) -> int:
        return xxhash.xxh64_intdigest(f"{node}|{self._digest}".encode())
