"""The deeds of a server because of a forecast, as the settings say."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from orchestrator.app.predicting.current import current
from orchestrator.cache.cache import Cache
from orchestrator.core.refs import parse_ref
from orchestrator.errors import GlmAriaError
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.worth import GuessTerms
from orchestrator.runs.store import RunStore
from orchestrator.serve.foresight.foresight import Conduct
from orchestrator.serve.foresight.gauge import ExpectedPulls, expected_pulls
from orchestrator.settings import Settings

_GB = 1e9
_AFTER_WINDOW = 12 * HOUR
"""Seconds in which somebody has to ask, where it is fetched at some hours only."""


def conduct_of(settings: Settings) -> Conduct | None:
    """The conduct in which a server fetches ahead; None where it is not to."""
    if not settings.predict_enabled or settings.offline:
        return None
    windows = settings.predict_windows
    terms = GuessTerms(settings.predict_price / _GB, settings.predict_daily or sys.maxsize, windows)
    return Conduct(replace(terms, horizon=_AFTER_WINDOW) if windows else terms, settings.predict_dry_run)


def is_pulling(state_dir: Path) -> bool:
    """True while a pull of the user's into this cache goes on."""
    return any(run.is_running for run in RunStore(state_dir).known())


def expected_of(settings: Settings, cache: Cache) -> tuple[ExpectedPulls, ...]:
    """The pulls that are expected now, with the names of models that anybody may see."""
    forecast = current(settings)

    def is_open(model: str) -> bool:
        try:
            return cache.records.is_open(parse_ref(model).repo.folder)
        except GlmAriaError:
            return False

    return expected_pulls(forecast, time.time(), is_open) if forecast is not None else ()
