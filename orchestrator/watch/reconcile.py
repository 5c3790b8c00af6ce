"""Keeping a cache equal to a list: what is to be pulled when, as plain values. No clock, no chance, no I/O in here.

Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.core.exponential import backoff

FIRST_DELAY = 10.0
"""Seconds that the first wait after a failure is at most; it doubles with each further one."""
LEAST_DELAY = 1.0
LONGEST_DELAY = 3600.0

Model = TypeVar("Model", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of one model of the list: its next pull, its failures in a row, and whether it had a turn."""

    due: float
    failures: int = 0
    is_new: bool = True


def reconcile(known: Mapping[Model, Schedule], listed: Iterable[Model], now: float) -> dict[Model, Schedule]:
    """The schedules once the list says `listed`: what is new is due now, what left it is dropped, the rest stays."""
    return {model: known.get(model, Schedule(now)) for model in listed}


def moved(schedules: Mapping[Model, Schedule], news: Collection[Model], now: float) -> dict[Model, Schedule]:
    """The schedules once there is news of models: these are due now, and are let in as new ones are."""
    return {
        model: replace(schedule, due=now, is_new=True) if model in news else schedule
        for model, schedule in schedules.items()
    }


def unheard(
    schedules: Mapping[Model, Schedule], heard: Callable[[Model], bool], now: float, interval: float
) -> dict[Model, Schedule]:
    """The schedules once the news of models may be missing: these are looked at within the interval."""
    return {
        model: schedule
        if schedule.failures or schedule.due <= now + interval or heard(model)
        else replace(schedule, due=now + interval)
        for model, schedule in schedules.items()
    }


def due(schedules: Mapping[Model, Schedule], now: float) -> tuple[Model, ...]:
    """The models to pull now, in the order of the list."""
    return tuple(model for model, schedule in schedules.items() if schedule.due <= now)


def succeeded(schedule: Schedule, now: float, interval: float) -> Schedule:
    """After a pull that went well: look again after the interval."""
    return replace(schedule, due=now + interval, failures=0, is_new=False)


def failed(schedule: Schedule, now: float, interval: float, roll: float) -> Schedule:
    """After one that did not: back off, by an hour at most, or the interval where that is longer. `roll` is 0 to 1."""
    failures = schedule.failures + 1
    wait = backoff(failures, FIRST_DELAY, max(LONGEST_DELAY, interval), roll)
    return Schedule(now + max(LEAST_DELAY, wait), failures, is_new=False)


def is_outdated(
    running: Collection[Model], schedules: Mapping[Model, Schedule], now: float, *, is_long: bool = False
) -> bool:
    """True if a running pull should be stopped, and restarted with all that is due by then.

    That is when a model of it left the list, or a new one came, and for a pull that `is_long` at work also when others
    are due: one big model must not keep the branches of the others from being looked at.
    """
    if any(model not in schedules for model in running):
        return True
    return any(schedules[model].is_new or is_long for model in due(schedules, now) if model not in running)
