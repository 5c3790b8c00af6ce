"""The guide of a node: which part of a blob it may ask an origin for now, and which peers it asks for the rest.

Without control that follows from who is there (`rendezvous`); with control a scheduler says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.core.extents import Ranges
from orchestrator.core.plan import Job
from orchestrator.swarm.holdings import Peer


class Guide(Protocol):
    """Thread-safe; nothing blocks, and every answer may change from call to call."""

    def origin(self, job: Job) -> Ranges | None:
        """The ranges that this node may ask origin sources for now, None for all: what it fetches for the others."""

    def peers(self) -> Sequence[Peer]:
        """The peers that this node is to ask what they have."""
