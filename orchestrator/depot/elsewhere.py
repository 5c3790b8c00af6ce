"""Other catalogs as sources of a service: each is asked about a model when the first file of it is wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict

from orchestrator.catalogs.sites import Sites
from orchestrator.core.plan import Job, ResolvedModel, plan_model
from orchestrator.core.refs import RepoId
from orchestrator.core.sources import Origin, Source
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.events import Emit

_MOST_MODELS = 64
"""Models whose places in other catalogs are kept; one that is wanted again after that is asked about again."""


class Elsewhere:
    """The origins of blobs as `OtherCatalogs` knows them, for models that come one after the other. Thread-safe."""

    def __init__(self, sites: Sites, emit: Emit) -> None:
        self._sites = sites
        self._emit = emit
        self._lock = threading.Lock()
        self._nobody = OtherCatalogs((), sites, emit)
        self._asked: OrderedDict[tuple[RepoId, str], OtherCatalogs] = OrderedDict()

    def ask(self, model: ResolvedModel) -> None:
        """Find out in the background who else has the files of a model. Does not block."""
        key = model.ref.repo, model.commit
        with self._lock:
            if key in self._asked:
                self._asked.move_to_end(key)
                return
            self._asked[key] = OtherCatalogs([plan_model(model, {})], self._sites, self._emit)
            while len(self._asked) > _MOST_MODELS:
                self._asked.popitem(last=False)[1].close()

    def origin(self, job: Job, source: Source) -> Origin | None:
        """See `OtherCatalogs`."""
        first = job.origins[0]
        with self._lock:
            known = self._asked.get((first.repo, first.commit), self._nobody)
        return known.origin(job, source)

    def close(self) -> None:
        """From now on nothing is asked or told any more."""
        with self._lock:
            for catalogs in (self._nobody, *self._asked.values()):
                catalogs.close()
