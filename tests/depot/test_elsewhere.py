"""Other catalogs of a service, which are asked about one model after the other."""

from __future__ import annotations

import threading

from orchestrator.core.plan import merge, plan_model
from orchestrator.depot.elsewhere import Elsewhere
from orchestrator.errors import SourcesDownError
from tests import plain
from tests.plain import SCOPE, Heard, PlainCatalog


def answered() -> None:
    """Wait until all catalogs have answered or failed."""
    for thread in threading.enumerate():
        if thread.name.startswith("catalogs-"):
            thread.join(20)
            assert not thread.is_alive()


def test_one_that_was_down_is_asked_about_the_model_again() -> None:
    scope = PlainCatalog(SCOPE, error=SourcesDownError("it does not answer"))
    now, heard = [1000.0], Heard()
    elsewhere = Elsewhere(plain.sites(PlainCatalog(), scope), heard, lambda: now[0])
    model = plain.model_of()
    job = next(job for job in merge([plan_model(model, {})]).jobs if job.is_lfs)
    seen: list[tuple[int, bool]] = []
    for seconds in (0.0, 59.0, 1.0, 60.0):
        now[0] += seconds
        elsewhere.ask(model)
        answered()
        seen.append((len(scope.asked), elsewhere.origin(job, SCOPE) is not None))
        if seconds == 59.0:
            scope.error = None
    elsewhere.close()
    assert seen == [(1, False), (1, False), (3, True), (3, True)], "asked again after a minute, until it has answered"
    assert heard.codes == ["mirror-down"]
