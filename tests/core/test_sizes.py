"""Sizes as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.sizes import format_duration, format_size, format_speed, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("20M", 20 * 1024**2),
        ("20m", 20 * 1024**2),
        ("20MiB", 20 * 1024**2),
        ("100KB", 100_000),
        ("100kb/s", 100_000),
        ("1.5G", 3 * 1024**3 // 2),
        ("1.5GB", 1_500_000_000),
        (" 2 T ", 2 * 1024**4),
        ("5MB/s", 5_000_000),
    ],
)
def test_a_size_is_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "M", "-1", "1e9", "1.", ".5M", "20 Mbit", "20M/min", "1,5G", "٣M", "9" * 40])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="for example"):
        parse_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_999, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (20_123_456_789, "20.1 GB"),
        (10**18, "1000 PB"),
    ],
)
def test_a_size_has_three_digits(count: int, text: str) -> None:
    assert format_size(count) == text


@given(st.integers(0, 999 * 10**12))
def test_a_formatted_size_is_read_back_within_its_three_digits(count: int) -> None:
    assert abs(parse_size(format_size(count)) - count) <= count * 0.006


def test_a_speed_is_a_size_a_second() -> None:
    assert format_speed(12_345_678.9) == "12.3 MB/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (11_400, "3 h 10 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("12h", 43200), ("30d", 2592000), (" 2 W ", 1209600), ("0s", 0)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1y", "1d2h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        parse_duration(text)
