"""The planner: who fetches what from an origin for all, whom each node asks, and what is done when that fails.

Pure: the same view gives the same plan, on any machine, so schedulers need no memory and agree among themselves. A
piece is there when a trusted node that lives has it; work of which a piece is missing is leased, front to back, to the
node that would be through with it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.swarm.goods import Good, there
from orchestrator.swarm.leasing import grants, review
from orchestrator.swarm.peering import renewals
from orchestrator.swarm.trust import lives, living_nodes, trusted_nodes
from orchestrator.swarm.view import Evict, FleetAction, FleetView, NodeState

EVICT_AFTER = 60.0
"""Seconds after which a lost node is forgotten."""


def plan(fleet: FleetView, now: float) -> tuple[FleetAction, ...]:
    """Decide what to do about a fleet now, to be carried out in order.

    A `Lease` of work that another lease has is preceded by the `Revoke` of that one. No lease goes to a node that is
    not ready or not trusted, and no origin gets more leases than it allows.
    """
    trusted = trusted_nodes(fleet, now)
    goods = [Good.of(each, fleet, trusted) for each in fleet.goods]
    found = review(fleet, goods, trusted, now)
    return (
        *found.revoked,
        *grants(fleet, goods, found, trusted, now),
        *renewals(fleet, trusted, now),
        *_evictions(fleet, goods, trusted, now),
    )


def _evictions(fleet: FleetView, goods: Sequence[Good], trusted: frozenset[str], now: float) -> Iterator[Evict]:
    for node in fleet.nodes.values():
        is_gone = node.state == NodeState.GONE or (now - node.beat > EVICT_AFTER and not lives(node, now))
        if is_gone or (node.state == NodeState.DRAINING and _is_drained(node.id, fleet, goods, trusted, now)):
            yield Evict(node.id)


def _is_drained(node: str, fleet: FleetView, goods: Sequence[Good], trusted: frozenset[str], now: float) -> bool:
    """True if it fetches nothing any more, and what it has others have, who stay, or nobody lacks."""
    if node not in trusted:
        return True
    ready = frozenset(name for name in living_nodes(fleet, now) if fleet.nodes[name].state == NodeState.READY) - {node}
    stay = ready & trusted
    for good in goods:
        if any(lease.node == node for lease in good.view.leases):
            return False
        lacks = [name for name in good.view.wanted_by & ready if not good.is_whole(name)]
        if lacks and there(good.view, fleet, frozenset({node})) & ~there(good.view, fleet, stay):
            return False
    return True
