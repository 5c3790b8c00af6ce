"""News of a scheduler for who watches it: the nodes that come and go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.events import Emit, FleetNews
from orchestrator.swarm.control.messages import NodeStatus
from orchestrator.swarm.view import NodeState

_NAMED = 5
_AWAY = (NodeState.LOST, NodeState.GONE)


class RollCall:
    """Tells which nodes have come and gone between two looks."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._here: frozenset[str] = frozenset()

    def look(self, nodes: Sequence[NodeStatus]) -> None:
        """Compare these with the nodes of before."""
        here = frozenset(node.id for node in nodes if node.state not in _AWAY)
        lost = frozenset(node.id for node in nodes if node.state is NodeState.LOST)
        parts = [
            f"{_names(found)} {_have(found)} {word}"
            for found, word in (
                (here - self._here, "joined"),
                (self._here & lost, "gone without a word"),
                (self._here - here - lost, "left"),
            )
            if found
        ]
        self._here = here
        if parts:
            count = f"{len(here)} node{' is' if len(here) == 1 else 's are'} here"
            self._emit(FleetNews("nodes", "; ".join((*parts, count))))


def _names(found: Iterable[str]) -> str:
    names = sorted(found)
    more = [f"{len(names) - _NAMED} more"] if names[_NAMED:] else []
    return ", ".join(names[:_NAMED] + more)


def _have(found: frozenset[str]) -> str:
    return "has" if len(found) == 1 else "have"
