"""Scores of forecasters in a backtest, and the gate: what a forecaster has to show before anything is done by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """An error as a ratio to that of a naive forecast, with the bounds that hold 95 % of its bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """The errors of a forecaster on hours that it had not seen.

    `mase` is its absolute error as a ratio to that of the seasonal-naive forecast. `flat` is its squared error as a
    ratio to that of each model's mean: below 1 it has learned something of when, and does not only smooth.
    """

    forecaster: str
    mase: Ratio
    flat: Ratio

    @property
    def is_open(self) -> bool:
        """The gate. True where both intervals lie below 1; of errors that are no numbers none does."""
        return self.mase.high < 1 and self.flat.high < 1
