"""Other catalogs as sources of a service: each is asked about a model when the first file of it is wanted."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.catalogs.sites import Sites
from orchestrator.core.plan import Job, ResolvedModel, plan_model
from orchestrator.core.refs import RepoId
from orchestrator.core.sources import Origin, Source
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.events import Emit

_MOST_MODELS = 64
"""Models whose places in other catalogs are kept; one that is wanted again after that is asked about again."""
_AGAIN = 60.0
"""Seconds until a catalog that was down is asked again."""


@dataclass(slots=True)
class _Asked:
    """The places of a model in other catalogs, and when they were last asked for."""

    catalogs: OtherCatalogs
    at: float


class Elsewhere:
    """The origins of blobs as `OtherCatalogs` knows them, for models that come one after the other. Thread-safe."""

    def __init__(self, sites: Sites, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sites = sites
        self._emit = emit
        self._lock = threading.Lock()
        self._nobody = OtherCatalogs((), sites, emit)
        self._asked: OrderedDict[tuple[RepoId, str], _Asked] = OrderedDict()

    def ask(self, model: ResolvedModel) -> None:
        """Find out in the background who else has the files of a model, now and then also from those that were down.
        Does not block."""
        key, now = (model.ref.repo, model.commit), self._clock()
        with self._lock:
            if (known := self._asked.get(key)) is not None:
                self._asked.move_to_end(key)
                if now - known.at >= _AGAIN:
                    known.at = now
                    known.catalogs.ask_again()
                return
            self._asked[key] = _Asked(OtherCatalogs([plan_model(model, {})], self._sites, self._emit), now)
            while len(self._asked) > _MOST_MODELS:
                self._asked.popitem(last=False)[1].catalogs.close()

    def origin(self, job: Job, source: Source) -> Origin | None:
        """See `OtherCatalogs`."""
        first = job.origins[0]
        with self._lock:
            known = self._asked.get((first.repo, first.commit))
        return (known.catalogs if known else self._nobody).origin(job, source)

    def close(self) -> None:
        """From now on nothing is asked or told any more."""
        with self._lock:
            for catalogs in (self._nobody, *(known.catalogs for known in self._asked.values())):
                catalogs.close()
