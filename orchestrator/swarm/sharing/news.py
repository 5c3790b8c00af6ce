"""News of a node: what changed in the ledgers of its blobs, in parts that can be sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile

from orchestrator.swarm.holdings import MOST_HASHES, MOST_HOLDINGS, Holding, HoldingNews
from orchestrator.swarm.sharing.ledger import PieceLedger


def news_of(newest_first: Iterable[PieceLedger], after: int, version: int, accused: frozenset[str]) -> HoldingNews:
    """The changes after that version, the oldest first; all of them where `version`, the last one, is told."""
    changed = list(takewhile(lambda ledger: ledger.version > after, newest_first))
    holdings: list[Holding] = []
    hashes, told = 0, version
    for ledger in islice(reversed(changed), MOST_HOLDINGS):
        holding = ledger.holding(after)
        hashes += len(holding.hashes)
        if holdings and hashes > MOST_HASHES:
            break
        holdings.append(holding)
        told = ledger.version
    return HoldingNews(version if len(holdings) == len(changed) else told, tuple(holdings), accused)
