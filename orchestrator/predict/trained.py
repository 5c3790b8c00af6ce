"""The last training: `predict.json` in the state folder, a forecast with the scores that it stands on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.disk.state_file import read_state, write_state
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.score import Ratio, Score

HORIZON = 48
"""Hours that are forecast."""
_FRESH = 24 * HOUR
_FILE = "predict.json"
_MOST_MODELS = 10_000


@dataclass(frozen=True, slots=True)
class Trained:
    """A forecast, the scores of all forecasters in the backtest, and the hours and wishes that these learned from.

    `reason` says in a sentence why the forecast is used, or why it is not.
    """

    forecast: Forecast
    scores: tuple[Score, ...]
    hours: int
    wishes: int
    reason: str

    def is_fresh(self, now: float) -> bool:
        """True until a day after it was trained: then another day of it is left."""
        return 0 <= now - self.forecast.start < _FRESH


class TrainedFile:
    """The file of one cache."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._folder / _FILE

    def save(self, trained: Trained) -> None:
        """Replace what was trained before. Raises per `system.failures`."""
        write_state(self.path, self._folder / "stage", {"trained": asdict(trained)})

    def read(self) -> Trained | None:
        """The last training; None where there was none, or the file cannot be read."""
        return read_state(self.path, lambda data: _trained(data["trained"]))


def _trained(value: dict[str, Any]) -> Trained:
    forecast, scores = value["forecast"], value["scores"]
    pulls = {_text(model): tuple(map(_number, hours)) for model, hours in forecast["pulls"].items()}
    if len(pulls) > _MOST_MODELS or any(len(hours) > HORIZON for hours in pulls.values()):
        raise ValueError("more than is forecast")
    return Trained(
        Forecast(_number(forecast["start"]), pulls, _text(forecast["by"]), forecast["is_used"] is True),
        tuple(Score(_text(one["forecaster"]), _ratio(one["mase"]), _ratio(one["flat"])) for one in scores),
        int(_number(value["hours"])),
        int(_number(value["wishes"])),
        _text(value["reason"]),
    )


def _ratio(value: dict[str, Any]) -> Ratio:
    return Ratio(*(_number(value[key], finite=False) for key in ("value", "low", "high")))


def _number(value: Any, *, finite: bool = True) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError("not a number of 0 or more")
    if finite and not math.isfinite(value):
        raise ValueError("not finite")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
