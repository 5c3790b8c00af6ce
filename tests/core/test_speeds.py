"""Limits of bandwidth: what people write, and which holds at which minute."""

from __future__ import annotations

import pytest

from orchestrator.core.speeds import SpeedPlan, parse_speed, speed_at, top_speed

MIB = 1024**2


def at(text: str, *times: str) -> list[int | None]:
    plan = parse_speed(text)
    return [speed_at(plan, int(time[:2]) * 60 + int(time[3:])) for time in times]


def test_a_plain_speed_holds_at_all_times() -> None:
    assert at("20M", "00:00", "23:59") == [20 * MIB, 20 * MIB]
    assert (parse_speed("0"), parse_speed("none"), parse_speed("1KB/s")) == (None, None, 1000)


def test_a_span_ends_before_its_last_minute() -> None:
    text = "08:00-18:00=10M,else=0"
    assert at(text, "07:59", "08:00", "17:59", "18:00", "00:00") == [None, 10 * MIB, 10 * MIB, None, None]


def test_a_span_may_cross_midnight_and_the_first_that_fits_counts() -> None:
    text = "22:30-6:00=none, 05:00-07:00=1M, else=2M"
    assert at(text, "22:29", "22:30", "23:59", "00:00", "05:59", "06:00", "07:00") == [
        2 * MIB, None, None, None, None, MIB, 2 * MIB
    ]  # fmt: skip


def test_to_the_end_of_the_day_and_without_else() -> None:
    assert at("18:00-24:00=1M", "17:59", "18:00", "23:59", "00:00") == [None, MIB, MIB, None]
    assert at("else=1M", "12:00") == [MIB]


@pytest.mark.parametrize(
    ("text", "top"),
    [
        ("5M", 5 * MIB),
        ("08:00-18:00=10M,else=0", None),
        ("08:00-18:00=10M,else=2M", 10 * MIB),
        ("00:00-12:00=10M,12:00-24:00=3M", 10 * MIB),
        ("00:00-24:00=1M,08:00-09:00=9M,else=8M", MIB),
        ("00:00-12:00=10M,12:01-24:00=3M", None),
    ],
)
def test_the_highest_limit_of_the_day(text: str, top: int | None) -> None:
    assert top_speed(parse_speed(text)) == top


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "not a size"),
        ("08:00-18:00=fast", "not a size"),
        ("08:00-18:00=", "not a size"),
        ("08:00-18:00=1M,2M", "names no limit"),
        ("08:00-18:00", "names no limit"),
        ("8-18=1M", "not a time of the day"),
        ("08:00-25:00=1M", "from 00:00 to 24:00"),
        ("24:00-08:00=1M", "from 00:00 to 24:00"),
        ("08:60-09:00=1M", "from 00:00 to 24:00"),
        ("08:00-08:00=1M", "is empty"),
        ("else=1M,else=2M", "given twice"),
        ("08:00-18:00=1M,", "names no limit"),
    ],
)
def test_what_is_no_limit_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_speed(text)


def test_a_plan_is_shown_as_it_was_given() -> None:
    plan = parse_speed(" 08:00-18:00=10M,else=0 ")
    assert isinstance(plan, SpeedPlan)
    assert str(plan) == "08:00-18:00=10M,else=0"
