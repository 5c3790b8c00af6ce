"""The forecast that may be acted upon now."""

from __future__ import annotations

import time

from orchestrator.app.compose import known_state
from orchestrator.predict.forecast import Forecast
from orchestrator.predict.trained import TrainedFile
from orchestrator.settings import Settings


def current(settings: Settings, now: float | None = None) -> Forecast | None:
    """The forecast that was trained last; None without one, for one of more than a day ago, or where `predict.enabled`
    is off. Whether anything may be done because of it, its `is_used` says. Reads a small file, and never raises."""
    if not settings.predict_enabled:
        return None
    trained = TrainedFile(known_state(settings)).read()
    is_fresh = trained is not None and trained.is_fresh(time.time() if now is None else now)
    return trained.forecast if trained is not None and is_fresh else None
