"""What is to be pulled when, over plain values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.watch.reconcile import (
    FIRST_DELAY,
    LEAST_DELAY,
    LONGEST_DELAY,
    Schedule,
    due,
    failed,
    is_outdated,
    moved,
    reconcile,
    succeeded,
    unheard,
)


def test_what_is_new_is_due_and_what_is_gone_is_gone() -> None:
    known = {"a": Schedule(50.0, 2, is_new=False), "b": Schedule(5.0)}
    now = reconcile(known, ["c", "a"], 10.0)
    assert now == {"c": Schedule(10.0), "a": Schedule(50.0, 2, is_new=False)}
    assert due(now, 10.0) == ("c",)
    assert due(now, 50.0) == ("c", "a")


def test_success_waits_for_the_interval() -> None:
    assert succeeded(Schedule(0.0, 7), 100.0, 30.0) == Schedule(130.0, 0, is_new=False)


@given(st.integers(0, 10_000), st.floats(1, 1e6), st.floats(0, 1, exclude_max=True))
def test_failure_waits_a_bounded_random_time(failures: int, interval: float, roll: float) -> None:
    after = failed(Schedule(0.0, failures), 100.0, interval, roll)
    assert LEAST_DELAY <= after.due - 100.0 <= max(LONGEST_DELAY, interval)
    assert after.failures == failures + 1
    assert failed(Schedule(0.0, 0), 0.0, interval, roll).due <= FIRST_DELAY


def test_the_whole_range_is_used() -> None:
    """Full jitter: else all that failed together would come back together."""
    waits = [failed(Schedule(0.0, 4), 0.0, 1.0, roll / 100).due for roll in range(100)]
    assert min(waits) == LEAST_DELAY
    assert max(waits) > 0.98 * FIRST_DELAY * 16


def test_when_a_running_pull_is_begun_anew() -> None:
    old = Schedule(0.0, 1, is_new=False)
    schedules = {"a": Schedule(0.0), "b": old}
    assert not is_outdated({"a", "b"}, schedules, 1.0)
    assert is_outdated({"a", "b", "c"}, schedules, 1.0), "one of it left the list"
    assert is_outdated({"b"}, schedules, 1.0), "a new one came"
    assert not is_outdated({"a"}, schedules, 1.0), "one that failed before waits for its end"
    assert is_outdated({"a"}, schedules, 1.0, is_long=True), "but not for ever"


def test_what_moved_is_due_and_let_in() -> None:
    known = {"a": Schedule(50.0, 2, is_new=False), "b": Schedule(60.0, is_new=False)}
    now = moved(known, {"a", "gone"}, 10.0)
    assert now == {"a": Schedule(10.0, 2), "b": known["b"]}
    assert is_outdated(["b"], now, 10.0)
    assert not is_outdated(["a"], now, 10.0)


def test_what_is_not_told_about_any_more_is_looked_at_within_the_interval() -> None:
    known = {"a": Schedule(3600.0), "b": Schedule(3600.0), "c": Schedule(20.0), "d": Schedule(900.0, 3)}
    now = unheard(known, {"b"}.__contains__, 10.0, 30.0)
    assert now == known | {"a": Schedule(40.0)}
