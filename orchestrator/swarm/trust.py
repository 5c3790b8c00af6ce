"""The nodes that count: those that live, and of which nobody credible says that they sent altered bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from orchestrator.swarm.view import FleetView, NodeState, NodeView

LOST_AFTER = 6.0
"""Seconds without a beat after which a node counts as lost."""

_SEVERAL = 2


def lives(node: NodeView, now: float) -> bool:
    """True for a node that can be asked: its last beat is not too old, and it has not left."""
    return node.state not in (NodeState.LOST, NodeState.GONE) and now - node.beat <= LOST_AFTER


def trusted_nodes(view: FleetView, now: float) -> frozenset[str]:
    """The nodes that live and that nobody credible accuses: what they say that they have counts."""
    found = distrusted([each.accused for each in view.goods])
    return frozenset(name for name, node in view.nodes.items() if name not in found and lives(node, now))


def distrusted(accusations: Iterable[Mapping[str, frozenset[str]]]) -> frozenset[str]:
    """The nodes whose word counts for nothing, of who is accused, and by whom, for each blob.

    Who alone accuses several nodes is more likely wrong than all of them: it is distrusted, and its accusations do not
    count. Where it was right, others will say so.
    """
    accusers: dict[str, set[str]] = {}
    for accused in accusations:
        for node, by in accused.items():
            accusers.setdefault(node, set()).update(by - {node})
    alone = Counter(accuser for by in accusers.values() if len(by) == 1 for accuser in by)
    slanderers = {node for node, times in alone.items() if times >= _SEVERAL}
    return frozenset(node for node, by in accusers.items() if by - slanderers) | frozenset(slanderers)
