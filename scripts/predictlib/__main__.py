"""The table of what prefetch brings: waiting and bytes with it, as against those without it.

Each trace has eight weeks. Forecasters see what lies before a day, pass the gate or not, and forecast that day; the
last four weeks count. A shuffled trace has the same wishes at moments by chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.learning.backtest import backtest, forecast_of, winner
from orchestrator.predict.learning.forecasters import NAIVE
from orchestrator.predict.learning.generate import KINDS, generate, shuffled
from orchestrator.predict.learning.series import WEEK, series_of
from orchestrator.predict.replay import Premises, replay
from orchestrator.predict.worth import GuessTerms

RATE = 50e6
TERMS = GuessTerms(5e-9, 200_000_000_000)
"""The defaults of the settings."""


def foresee(past: Sequence[Demand], now: float) -> Forecast:
    """The forecast of the best forecaster on this past, to be used if it passes the gate."""
    series = series_of(past, now)
    best = winner(backtest(series).scores)
    rows = forecast_of(series, best or NAIVE).tolist()
    pulls = dict(zip(series.models, map(tuple, rows), strict=True))
    return Forecast(now, pulls, best or NAIVE, best is not None)


def row(name: str, trace: Sequence[Demand], share: float) -> str:
    """One line of the table, for a cache of this share of the bytes of all models."""
    sizes = {demand.model: demand.size for demand in trace}
    premises, since = Premises(int(share * sum(sizes.values())), RATE), trace[0].at + 4 * WEEK * HOUR
    without, ahead = replay(trace, premises, since), replay(trace, premises, since, foresee, TERMS)
    hits = f"{without.hits / without.asked:.0%} | {ahead.hits / ahead.asked:.0%}"
    change = f"{ahead.waited / without.waited - 1:+.1%} | {ahead.fetched / without.fetched - 1:+.1%}"
    return f"| {name} | {without.asked} | {hits} | {change} | {ahead.guessed / ahead.fetched:.1%} |"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(kind for kind in KINDS if kind != "noise"))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--cache", type=float, default=0.5, help="the cache, as a share of the bytes of all models")
    asked = parser.parse_args()
    print("| trace | wishes | hits without | hits with | waiting | bytes | of these guessed |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for kind in asked.kinds.split(","):
        for seed in map(int, asked.seeds.split(",")):
            trace = generate(kind, seed)
            print(row(f"{kind} {seed}", trace, asked.cache), flush=True)
            print(row(f"{kind} {seed}, shuffled", shuffled(trace, seed), asked.cache), flush=True)


main()
