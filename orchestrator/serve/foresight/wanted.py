"""Wishes of clients, counted by model for Prometheus. A label costs it memory for good, so few models have one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from orchestrator.predict.demand import Demand

MOST = 200
"""Models with a label of their own, those that were asked for first; all others share the empty one."""


Wishes = tuple[tuple[tuple[str, str], int], ...]
"""Counts by model, and by `hit` or `miss`: whether all of it was here."""


class WantedModels:
    """Counts wishes since the server began. For any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._models: set[str] = set()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, demands: Iterable[Demand]) -> None:
        """Count wishes that ended."""
        with self._guard:
            for demand in demands:
                if len(self._models) < MOST:
                    self._models.add(demand.model)
                model = demand.model if demand.model in self._models else ""
                self._counts[model, "hit" if demand.is_hit else "miss"] += 1

    def counts(self) -> Wishes:
        """The wishes until now."""
        with self._guard:
            return tuple(sorted(self._counts.items()))
