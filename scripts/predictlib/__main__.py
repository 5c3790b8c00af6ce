"""The table and picture of what prefetch brings: waiting and bytes with it, as against those without it.

Each trace has eight weeks. Forecasters see what lies before a day, pass the gate or not, and forecast that day; the
last four weeks count. A shuffled trace has the same wishes at moments by chance. Whoever knows the rates of a trace
forecasts what it was drawn from: no forecaster can know more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.learning.backtest import backtest, forecast_of, winner
from orchestrator.predict.learning.forecasters import NAIVE
from orchestrator.predict.learning.generate import KINDS, START, generate, rates_of, shuffled
from orchestrator.predict.learning.series import DAY, WEEK, series_of
from orchestrator.predict.replay import Foresee, Premises, Replayed, replay
from orchestrator.predict.worth import GuessTerms

RATE = 50e6
TERMS = GuessTerms(5e-9, 200_000_000_000)
"""The defaults of the settings."""
_HORIZON = 2 * DAY


@dataclass(frozen=True, slots=True)
class Compared:
    """The replays of a trace with a cache that holds a `share` of all models: without prefetch, with it, and with the
    forecast of who knows the rates; None where there are none to know. `days`: on how many the gate was open."""

    name: str
    share: float
    days: int
    without: Replayed
    ahead: Replayed
    known: Replayed | None

    def waiting(self, one: Replayed) -> float:
        """The waiting of users as a share of that without prefetch."""
        return one.waited / self.without.waited

    def fetched(self, one: Replayed) -> float:
        """The bytes as a share of those without prefetch."""
        return one.fetched / self.without.fetched


class Forecasts:
    """The forecasts of the days of a trace, of the best forecaster, to be used where it passes the gate."""

    def __init__(self) -> None:
        self._made: dict[float, Forecast] = {}

    @property
    def days(self) -> int:
        """The days on which the gate was open."""
        return sum(forecast.is_used for forecast in self._made.values())

    def __call__(self, past: Sequence[Demand], now: float) -> Forecast:
        """The forecast at `now`, of what came before it."""
        if now not in self._made:
            series = series_of(past, now)
            best = winner(backtest(series).scores)
            rows = forecast_of(series, best or NAIVE).tolist()
            pulls = dict(zip(series.models, map(tuple, rows), strict=True))
            self._made[now] = Forecast(now, pulls, best or NAIVE, best is not None)
        return self._made[now]


def knowing(kind: str, seed: int) -> Foresee:
    """Forecasts of who knows the rates of a trace."""
    rates = rates_of(kind, seed)

    def foresee(_past: Sequence[Demand], now: float) -> Forecast:
        hour = int((now - START) // HOUR)
        pulls = {model: row[hour : hour + _HORIZON] for model, row in rates.items()}
        return Forecast(START + hour * HOUR, pulls, "rates", True)

    return foresee


def compare(
    name: str, trace: Sequence[Demand], shares: Sequence[float], foresee: Forecasts, know: Foresee | None
) -> list[Compared]:
    """Replay a trace with caches of these shares of the bytes of all models."""
    size = sum({demand.model: demand.size for demand in trace}.values())
    since = trace[0].at + 4 * WEEK * HOUR
    found = []
    for share in shares:
        premises = Premises(int(share * size), RATE)
        without = replay(trace, premises, since)
        ahead = replay(trace, premises, since, foresee, TERMS)
        known = replay(trace, premises, since, know, TERMS) if know else None
        found.append(Compared(name, share, foresee.days, without, ahead, known))
    return found


def row(one: Compared) -> str:
    """One line of the table."""
    hits = [f"{replayed.hits / replayed.asked:.0%}" for replayed in (one.without, one.ahead)]
    changes = [f"{share - 1:+.1%}" for share in (one.waiting(one.ahead), one.fetched(one.ahead))]
    known = [f"{share(one.known) - 1:+.1%}" if one.known else "" for share in (one.waiting, one.fetched)]
    return f"| {' | '.join((one.name, f'{one.share:.0%}', str(one.days), *hits, *changes, *known))} |"


def picture(found: Sequence[Compared]) -> str:
    """Bars of the waiting, in per cent of that without prefetch."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, autoescape=True
    )
    rows = [
        (
            one.name,
            f"{one.share:.0%}",
            100 * one.waiting(one.ahead),
            100 * one.waiting(one.known) if one.known else None,
        )
        for one in found
    ]
    return environment.get_template("waiting.svg.j2").render(rows=rows) + "\n"


def main() -> None:
    """Print the table as Markdown, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(kind for kind in KINDS if kind != "noise"))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--cache", default="0.5,0.8", help="caches, as shares of the bytes of all models")
    parser.add_argument("--picture", type=Path, help="draw the traces that are not shuffled into this file")
    asked = parser.parse_args()
    shares = [float(share) for share in asked.cache.split(",")]
    print("| trace | cache | days | hits | with it | waiting | bytes | knowing: waiting | bytes |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    drawn: list[Compared] = []
    for kind in asked.kinds.split(","):
        for seed in map(int, asked.seeds.split(",")):
            trace = generate(kind, seed)
            found = compare(f"{kind} {seed}", trace, shares, Forecasts(), knowing(kind, seed))
            drawn += found
            found += compare(f"{kind} {seed}, shuffled", shuffled(trace, seed), shares, Forecasts(), None)
            print("\n".join(map(row, found)), flush=True)
    if asked.picture:
        asked.picture.write_text(picture(drawn), "utf-8")


if __name__ == "__main__":
    main()
