"""The queue of jobs that wait: in the order given, small ones beside large ones, and no call that looks at all."""

from pathlib import Path

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.transfer.active import Slot, Slots
from orchestrator.transfer.jobs import JobEvent, JobState
from orchestrator.transfer.spans import SMALL

LARGE = SMALL * 4


def slot(number: int, size: int = 10) -> Slot:
    digest = Digest(Algorithm.SHA256, f"{number:064x}")
    return Slot(Job(digest, size, False, ()), Path("part"))


def queue(*sizes: int) -> tuple[Slots, list[Slot]]:
    slots, made = Slots(), [slot(number, size) for number, size in enumerate(sizes)]
    for one in made:
        slots.add(one)
    return slots, made


def begun(slots: Slots, *, small: bool = True, big: bool = True) -> list[Slot]:
    found = []
    while one := slots.first(small=small, big=big):
        slots.on(one, JobEvent.START)
        found.append(one)
    return found


def test_small_and_large_jobs_begin_in_the_order_given() -> None:
    slots, made = queue(10, LARGE, 10, 10, LARGE)
    assert begun(slots) == made
    assert slots.of(JobState.LOCATING) == made


def test_one_kind_is_not_held_up_by_the_other() -> None:
    slots, made = queue(LARGE, LARGE, 10)
    assert begun(slots, big=False) == [made[2]]
    assert not slots.waits(is_small=True)
    assert slots.waits(is_small=False)
    assert begun(slots, small=False) == made[:2]
    assert begun(slots) == []


def test_a_job_that_was_put_off_has_its_place_again_when_it_is_time() -> None:
    slots, made = queue(10, 10, 10, 10)
    slots.put_off(made[0], until=5.0)
    slots.put_off(made[1], until=5.0)
    slots.put_off(made[2], until=9.0)
    slots.resume(4.9)
    assert slots.first(small=True, big=True) is made[3]
    slots.resume(5.0)
    assert begun(slots) == [made[0], made[1], made[3]]
    assert slots.waits(is_small=True)
    slots.resume(9.0)
    assert begun(slots) == [made[2]]


def test_a_job_that_begins_again_comes_last() -> None:
    slots, made = queue(10, 10)
    slots.on(made[0], JobEvent.ALREADY)
    slots.add(again := slot(0))
    assert begun(slots) == [made[1], again]


def test_only_what_has_not_begun_is_dropped() -> None:
    slots, made = queue(10, 10, LARGE)
    slots.on(made[0], JobEvent.START)
    slots.put_off(made[1], until=1.0)
    every = {one.job.digest for one in made}
    assert slots.drop(every) == every - {made[0].job.digest}
    assert slots.drop(every) == set()
    slots.on(made[0], JobEvent.GIVE_UP)
    assert not slots


def test_beginning_one_job_looks_at_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, _ = queue(*[10] * 3000, LARGE)
    looks = 0
    is_small = Slot.is_small.fget  # type: ignore[attr-defined]

    def counted(self: Slot) -> bool:
        nonlocal looks
        looks += 1
        return bool(is_small(self))

    monkeypatch.setattr(Slot, "is_small", property(counted))
    for _ in range(1000):
        slots.resume(0.0)
        assert slots.waits(is_small=True)
        assert slots.waits(is_small=False)
        one = slots.first(small=True, big=True)
        assert one is not None
        slots.on(one, JobEvent.START)
    assert looks < 5000
    assert len(slots.of(JobState.LOCATING)) == 1000
