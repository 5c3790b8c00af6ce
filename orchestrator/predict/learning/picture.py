"""The picture of a backtest: the errors of the forecasters, and what came beside what was expected."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import templating
from orchestrator.predict.learning.backtest import Backtest, winner
from orchestrator.predict.learning.forecasters import NAIVE
from orchestrator.predict.learning.series import WEEK
from orchestrator.predict.score import MOST_FLAT, Ratio

_WIDTH, _HEIGHT = 760.0, 200.0
_MOST_RATIO = 2.0
_BEST = "ridge"
"""The forecaster that is drawn where none passes."""


def drawn(title: str, found: Backtest) -> str:
    """The picture as SVG. Ratios above 2 are drawn at the edge."""
    rows = [(score.forecaster, score.is_open, _bar(score.mase), _bar(score.flat)) for score in found.scores]
    shown = winner(found.scores) or _BEST
    curves = [("came", found.came), *((name, found.expected.get(name, ())) for name in (NAIVE, shown))]
    most = max((value for _, values in curves for value in values[-WEEK:]), default=0.0) or 1.0
    return templating.render(
        "predict.svg",
        title=title,
        rows=rows,
        bound=_at(1.0),
        flat_bound=_at(MOST_FLAT),
        curves=[(name, _line(values[-WEEK:], most)) for name, values in curves if values],
        most=f"{most:.0f}",
        width=_WIDTH,
        height=_HEIGHT,
        half=_WIDTH / 2 - 60,
    )


def _bar(ratio: Ratio) -> tuple[float, float, float]:
    return _at(ratio.low), _at(ratio.value), _at(ratio.high)


def _at(ratio: float) -> float:
    return round(min(ratio, _MOST_RATIO) / _MOST_RATIO * (_WIDTH / 2 - 60), 1)


def _line(values: Sequence[float], most: float) -> str:
    step = _WIDTH / max(1, len(values) - 1)
    return " ".join(f"{at * step:.1f},{_HEIGHT - value / most * _HEIGHT:.1f}" for at, value in enumerate(values))
