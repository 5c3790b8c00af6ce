"""Keeping a cache equal to a list: what is to be pulled when, as plain values. No clock, no chance, no I/O in here.

Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.core.exponential import backoff

FIRST_DELAY = 10.0
"""Seconds that the first wait after a failure is at most; it doubles with each further one."""
LEAST_DELAY = 1.0
LONGEST_DELAY = 3600.0

Model = TypeVar("Model", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one model of the list stands: when it is pulled next, how often in a row it failed, if it had a turn."""

    due: float
    failures: int = 0
    is_new: bool = True


def reconcile(known: Mapping[Model, Standing], listed: Iterable[Model], now: float) -> dict[Model, Standing]:
    """The standings once the list says `listed`: what is new is due now, what is gone is gone, the rest stays."""
    return {model: known.get(model, Standing(now)) for model in listed}


def due(standings: Mapping[Model, Standing], now: float) -> tuple[Model, ...]:
    """What is to be pulled now, in the order of the list."""
    return tuple(model for model, standing in standings.items() if standing.due <= now)


def succeeded(standing: Standing, now: float, interval: float) -> Standing:
    """After a pull that went well: look again after the interval."""
    return replace(standing, due=now + interval, failures=0, is_new=False)


def failed(standing: Standing, now: float, interval: float, roll: float) -> Standing:
    """After one that did not: back off, by an hour at most, or the interval where that is longer. `roll` is 0 to 1."""
    failures = standing.failures + 1
    wait = backoff(failures, FIRST_DELAY, max(LONGEST_DELAY, interval), roll)
    return Standing(now + max(LEAST_DELAY, wait), failures, is_new=False)


def is_outdated(
    running: Collection[Model], standings: Mapping[Model, Standing], now: float, *, is_long: bool = False
) -> bool:
    """True when a running pull should be stopped, and begun anew with what is due by then.

    That is when a model of it left the list, or a new one came, and for a pull that `is_long` at work also when others
    are due: one big model must not keep the branches of the others from being looked at.
    """
    if any(model not in standings for model in running):
        return True
    return any(standings[model].is_new or is_long for model in due(standings, now) if model not in running)
