"""Generated traces: demand with patterns that are known, and without any, by a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.learning.series import DAY, WEEK, Hours

START = 2_800 * WEEK * HOUR
"""The moment of the first hour: a fixed one, so that a seed says all."""
_LINE = 50e6
_SOURCE = "huggingface.co"
_Shape = Callable[[np.random.Generator, Hours], Hours]


def _noise(rng: np.random.Generator, rates: Hours) -> Hours:  # noqa: ARG001 - a shape like the others
    return rates


def _daily(rng: np.random.Generator, rates: Hours) -> Hours:
    """Work by day, little by night; each model with its own noon."""
    hours = np.arange(rates.shape[1])
    noons = rng.integers(9, 18, (rates.shape[0], 1))
    bumps = np.exp(3 * np.cos((hours - noons) * 2 * np.pi / DAY))
    return np.asarray(rates * bumps / bumps.mean(), dtype=np.float64)


def _weekly(rng: np.random.Generator, rates: Hours) -> Hours:
    """The same on five days of seven, and little on the other two."""
    days = np.arange(rates.shape[1]) // DAY % 7
    return _daily(rng, rates) * np.where(days < 5, 1.3, 0.25)


def _nightly(rng: np.random.Generator, rates: Hours) -> Hours:
    """Jobs: each model at two hours of its week, and hardly else."""
    phases = np.arange(rates.shape[1]) % WEEK
    at = rng.integers(0, WEEK, (rates.shape[0], 2))
    on = (phases == at[:, :1]) | (phases == at[:, 1:])
    return np.asarray(rates * (0.1 + 0.9 * on * WEEK / 2), dtype=np.float64)


def _releases(rng: np.random.Generator, rates: Hours) -> Hours:
    """Each week some models have a new version: ten times the wishes at first, and half of that two days later."""
    times = np.ones_like(rates)
    for week in range(0, rates.shape[1], WEEK):
        for model in rng.choice(rates.shape[0], max(1, rates.shape[0] // 8), replace=False):
            begin = min(week + int(rng.integers(0, WEEK)), rates.shape[1])
            times[model, begin:] += 9 * 0.5 ** (np.arange(rates.shape[1] - begin) / (2 * DAY))
    return _daily(rng, rates) * times


def _bursts(rng: np.random.Generator, rates: Hours) -> Hours:
    """A model is wanted by nobody for days, and then by many for two days."""
    made = _daily(rng, rates * 0.2)
    for model in range(rates.shape[0]):
        for begin in rng.integers(0, rates.shape[1], rates.shape[1] // (2 * WEEK)):
            made[model, begin : begin + 2 * DAY] *= 20
    return made


def _new(rng: np.random.Generator, rates: Hours) -> Hours:
    """Half of the models come in the course of time, and old ones are wanted less and less."""
    made = _weekly(rng, rates)
    hours = np.arange(rates.shape[1])
    for model in range(0, rates.shape[0], 2):
        born = int(rng.integers(0, rates.shape[1]))
        made[model] *= np.where(hours < born, 0.0, 2 * 0.5 ** ((hours - born) / (3 * WEEK)))
    return made


KINDS: Mapping[str, _Shape] = {
    "daily": _daily,
    "weekly": _weekly,
    "jobs": _nightly,
    "releases": _releases,
    "bursts": _bursts,
    "new-models": _new,
    "noise": _noise,
}
"""The kinds of traces, by name."""


def generate(kind: str, seed: int, *, models: int = 20, weeks: int = 8, each: float = 0.15) -> tuple[Demand, ...]:
    """A trace of a kind, the oldest first. `each` are the wishes of a model an hour, of all in the mean."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(_rates(rng, kind, models, weeks, each))
    sizes = np.round(rng.lognormal(np.log(8e9), 0.8, models)).astype(int).tolist()
    rows, hours = np.nonzero(counts)
    rows, hours = np.repeat(rows, counts[rows, hours]), np.repeat(hours, counts[rows, hours])
    times = START + (hours + rng.random(len(hours))) * HOUR
    found = [_wish(_name(row), at, sizes[row]) for row, at in zip(rows.tolist(), times.tolist(), strict=True)]
    return tuple(sorted(found, key=lambda demand: demand.at))


def rates_of(
    kind: str, seed: int, *, models: int = 20, weeks: int = 8, each: float = 0.15
) -> Mapping[str, tuple[float, ...]]:
    """The wishes that are expected in each hour from `START` on, of each model of the trace that `generate` makes."""
    rates = _rates(np.random.default_rng(seed), kind, models, weeks, each)
    return {_name(row): tuple(rates[row].tolist()) for row in range(models)}


def shuffled(demands: Sequence[Demand], seed: int) -> tuple[Demand, ...]:
    """The same wishes at moments by chance within the same time: nothing of when is left to be learned."""
    rng = np.random.default_rng(seed)
    first, last = demands[0].at, demands[-1].at
    times = (first + rng.random(len(demands)) * (last - first)).tolist()
    moved = [replace(demand, at=at) for demand, at in zip(demands, times, strict=True)]
    return tuple(sorted(moved, key=lambda demand: demand.at))


def _rates(rng: np.random.Generator, kind: str, models: int, weeks: int, each: float) -> Hours:
    popular = 1 / (1 + np.arange(models)) ** 0.8
    return KINDS[kind](rng, np.repeat((popular / popular.mean() * each)[:, None], weeks * WEEK, axis=1))


def _name(row: int) -> str:
    return f"org/model-{row:03d}@main"


def _wish(model: str, at: float, size: int) -> Demand:
    return Demand(at, model, size, size, size / _LINE, {_SOURCE: size})
