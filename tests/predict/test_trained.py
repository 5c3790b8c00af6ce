"""The last training on the disk, and the forecast that may be acted upon because of it."""

from __future__ import annotations

import math
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app.compose import state_of
from orchestrator.app.predicting.current import current
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.score import Ratio, Score
from orchestrator.predict.trained import Trained, TrainedFile
from orchestrator.settings import Settings, load

START = 1000 * HOUR
FORECAST = Forecast(START, {"org/m@main": (1.0, 0.5)}, "ridge", True)
SCORE = Score("ridge", Ratio(0.5, 0.4, 0.6), Ratio(0.7, 0.6, math.inf))
TRAINED = Trained(FORECAST, (SCORE,), 1344, 50, "it beats the naive one")


def settings_at(folder: Path, switch: str = "1") -> Settings:
    return load(
        {"cache_dir": folder / "hub"}, environ={"GLM_ARIA_PREDICT": switch, "HF_HOME": str(folder)}, folder=folder
    )


def test_what_was_trained_is_read_again_by_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    file = TrainedFile(tmp_path)
    assert file.read() is None
    file.save(TRAINED)
    assert file.read() == TRAINED
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("hours", "is_there"), [(-0.1, False), (0, True), (23.9, True), (24, False)])
def test_a_forecast_is_current_for_a_day(tmp_path: Path, hours: float, is_there: bool) -> None:
    settings = settings_at(tmp_path)
    TrainedFile(state_of(settings)).save(TRAINED)
    assert current(settings, START + hours * HOUR) == (FORECAST if is_there else None)


def test_without_the_switch_or_a_training_there_is_none(tmp_path: Path) -> None:
    assert current(settings_at(tmp_path), START) is None
    TrainedFile(state_of(settings_at(tmp_path))).save(TRAINED)
    assert current(settings_at(tmp_path, "0"), START) is None
    assert (
        current(load({"cache_dir": tmp_path / "hub"}, environ={"HF_HOME": str(tmp_path)}, folder=tmp_path), START)
        is None
    )


@pytest.mark.parametrize(
    ("mase", "flat", "is_open"),
    [(0.99, 0.97, True), (1.0, 0.5, False), (0.5, 0.98, False), (math.inf, 0.5, False), (math.nan, 0.5, False)],
)
def test_the_gate_is_open_below_both_bounds_only(mase: float, flat: float, is_open: bool) -> None:
    assert replace(SCORE, mase=Ratio(0.1, 0.1, mase), flat=Ratio(0.1, 0.1, flat)).is_open is is_open
