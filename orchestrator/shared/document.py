"""Uses by node, as the data of the JSON document of `cache ls --nodes`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from orchestrator.documents import Amount
from orchestrator.shared.nodes import NodeUse


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A model on a node; `last_use` is unix seconds."""

    node: str
    model: str
    last_use: Amount | None
    fetching: bool

    @classmethod
    def of(cls, use: NodeUse) -> Self:
        """The entry of a use."""
        return cls(use.node, use.model, use.last_use, use.is_fetching)


@dataclass(frozen=True, slots=True)
class NodesDocument:
    """The data of `cache ls --nodes`."""

    nodes: tuple[NodeEntry, ...]

    @classmethod
    def of(cls, uses: Iterable[NodeUse]) -> Self:
        """The data of all uses."""
        return cls(tuple(map(NodeEntry.of, uses)))
