"""The sources of a run: where bytes may come from, what is remembered of each, and how long each is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.dialects import Dialect
from orchestrator.core.sources import Source
from orchestrator.mirrors.stats import SourceStats
from orchestrator.net.session import Net


@dataclass(frozen=True, slots=True)
class Sources:
    """`ordered` by preference, roots first; `roots` are the ones that list the repos of each kind.

    `stats` is what earlier runs learned about them. `patient` waits for a root; `hasty` gives up soon.
    """

    ordered: tuple[Source, ...]
    roots: Mapping[Dialect, Source]
    stats: SourceStats
    patient: Net
    hasty: Net

    def net_for(self, source: Source, kind: Dialect) -> Net:
        """The client for files of a repo of `kind` at a source: only the root of that kind is worth waiting for."""
        return self.patient if source == self.roots.get(kind) else self.hasty
