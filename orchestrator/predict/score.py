"""Scores of forecasters in a backtest, and the gate: what a forecaster has to show before anything is done by it."""

from __future__ import annotations

from dataclasses import dataclass

MOST_FLAT = 0.98
"""A ratio to the mean above which a forecast is no more than that: to know nothing, and to smooth well, gives 1.00."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """An error as a ratio to that of a naive forecast, with the bounds that hold 95 % of its bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """The errors of a forecaster on hours that it had not seen.

    `mase` is the absolute error of its medians as a ratio to that of the seasonal-naive forecast. `flat` is the squared
    error of its means as a ratio to that of each model's mean: the less, the more it has learned of when.
    """

    forecaster: str
    mase: Ratio
    flat: Ratio

    @property
    def is_open(self) -> bool:
        """The gate: both intervals lie below their bounds. Those of errors that are no numbers do not."""
        return self.mase.high < 1 and self.flat.high < MOST_FLAT
