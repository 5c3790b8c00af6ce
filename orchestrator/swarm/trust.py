"""The nodes that count: those that live, and of which nobody credible says that they sent altered bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from orchestrator.swarm.view import FleetView, NodeState, NodeView

LOST_AFTER = 6.0
"""Seconds without a beat after which a node counts as lost."""

_SEVERAL = 2


def lives(node: NodeView, now: float) -> bool:
    """True for a node that can be asked: its last beat is not too old, and it has not left."""
    return node.state not in (NodeState.LOST, NodeState.GONE) and now - node.beat <= LOST_AFTER


def living_nodes(view: FleetView, now: float) -> frozenset[str]:
    """The nodes that can be asked."""
    return frozenset(name for name, node in view.nodes.items() if lives(node, now))


def trusted_nodes(view: FleetView, now: float) -> frozenset[str]:
    """The nodes that live and that nobody credible accuses: what they say that they have counts."""
    living = living_nodes(view, now)
    return living - _distrusted(view, living)


def distrusted_nodes(view: FleetView, now: float) -> frozenset[str]:
    """The nodes whose word counts for nothing, and whom nobody is to ask."""
    return _distrusted(view, living_nodes(view, now))


def _distrusted(view: FleetView, living: frozenset[str]) -> frozenset[str]:
    return distrusted([each.accused for each in view.goods], living)


def distrusted(accusations: Iterable[Mapping[str, frozenset[str]]], living: Collection[str] = ()) -> frozenset[str]:
    """The nodes whose word counts for nothing, of who is accused, and by whom, for each blob.

    Who alone accuses several nodes is more likely wrong than all of them: it is distrusted, and its accusations do not
    count. Where it was right, others will say so. Where none of the `living` would be left, as when two accuse each
    other, the one with the fewest accusers is believed: somebody has to fetch.
    """
    accusers: dict[str, set[str]] = {}
    for accused in accusations:
        for node, by in accused.items():
            accusers.setdefault(node, set()).update(by - {node})
    alone = Counter(accuser for by in accusers.values() if len(by) == 1 for accuser in by)
    slanderers = {node for node, times in alone.items() if times >= _SEVERAL}
    found = frozenset(node for node, by in accusers.items() if by - slanderers) | frozenset(slanderers)
    if living and found.issuperset(living):
        found -= {min(living, key=lambda node: (len(accusers.get(node, ())), node))}
    return found
