"""A machine that slept: told once."""

from __future__ import annotations

from orchestrator.system.sleep import Sleep


def test_a_sleep_is_told_once_and_a_moment_is_none() -> None:
    asleep = iter([100.0, 100.0, 101.0, 3701.0, 3701.0])
    sleep = Sleep(lambda: next(asleep))
    assert [sleep.is_over() for _ in range(4)] == [False, False, True, False]


def test_a_machine_that_is_awake() -> None:
    assert not Sleep().is_over()
