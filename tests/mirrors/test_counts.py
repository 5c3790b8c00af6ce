"""What was learned of a source is where the next run begins: by family and hour, the less the older it is."""

from __future__ import annotations

from orchestrator.mirrors.counts import Count, beginning, learn

HOUR = 3600.0
DAY = 24 * HOUR
NOON = 1000 * DAY + 12 * HOUR


def test_nothing_is_known_of_a_new_one() -> None:
    assert beginning((), 16, NOON) == 16


def test_the_next_run_begins_where_the_last_one_ended() -> None:
    assert beginning(learn((), 4, 64, NOON), 16, NOON + 60) == 64
    assert beginning(learn((), 4, 2, NOON), 16, NOON + 60) == 2


def test_one_count_for_each_hour_and_family() -> None:
    known = learn(learn(learn((), 4, 64, NOON), 6, 8, NOON + 60), 4, 32, NOON + 120)
    assert known == (Count(6, 12, 8, NOON + 60), Count(4, 12, 32, NOON + 120))


def test_the_family_that_was_used_last_counts() -> None:
    known = learn(learn((), 4, 64, NOON), 6, 8, NOON + 60)
    assert beginning(known, 16, NOON + 120) == 8


def test_the_same_hour_of_another_day_counts_and_another_hour_does_not() -> None:
    known = learn((), 4, 64, NOON)
    assert beginning(known, 16, NOON + 2 * DAY) > 32
    assert beginning(known, 16, NOON + 2 * DAY + 10 * HOUR) == 16
    evening = learn(known, 4, 32, NOON + 2 * DAY + 8 * HOUR)
    assert beginning(evening, 16, NOON + 4 * DAY) > 32


def test_midnight_is_near_eleven() -> None:
    known = learn((), 4, 64, NOON + 11 * HOUR)
    assert beginning(known, 16, NOON + 12 * HOUR + 3 * DAY) > 16


def test_what_is_old_counts_less() -> None:
    counts = [beginning(learn((), 4, 64, NOON), 16, NOON + days * DAY) for days in (0, 7, 14, 70)]
    assert counts == [64, 32, 23, 16]


def test_a_clock_that_was_set_back_makes_nothing_wrong() -> None:
    assert beginning(learn((), 4, 64, NOON), 16, NOON - 60) == 64
