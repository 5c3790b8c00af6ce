"""Traces: what is written is read again, and a line that is no demand is told by its number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.predict.demand import Demand
from orchestrator.predict.trace import read_lines, read_trace, text_of

GOOD: dict[str, Any] = {"at": 1.5, "model": "org/m@main", "size": 10, "came": 4, "waited": 2.0, "sources": {"near": 4}}
times = st.floats(0, 3e10)
demands = st.builds(
    Demand,
    times,
    st.text(min_size=1, max_size=20),
    st.integers(0, 1 << 61),
    st.integers(0, 1 << 61),
    times,
    st.dictionaries(st.text(max_size=5), st.integers(0, 1 << 61), max_size=3),
)


@given(st.lists(demands, max_size=5))
def test_what_is_written_is_read_again_the_oldest_first(written: list[Demand]) -> None:
    found = read_trace(text_of(written).encode())
    assert found.demands == tuple(sorted(written, key=lambda demand: demand.at))
    assert not found.bad


@pytest.mark.parametrize(
    "change",
    [
        {"at": -1}, {"at": "1"}, {"at": 1e12}, {"at": True}, {"model": ""}, {"model": 1}, {"model": "m" * 513},
        {"size": -1}, {"size": 1.5}, {"size": 1 << 62}, {"came": None}, {"waited": -0.1}, {"sources": []},
        {"sources": {"near": -1}}, {"sources": {"s" * 513: 1}}, {"sources": {str(n): 1 for n in range(65)}},
    ],
)  # fmt: skip
def test_a_line_that_is_no_demand_is_told_by_its_number(change: dict[str, Any]) -> None:
    text = text_of([]) + json.dumps(GOOD) + "\n\n" + json.dumps(GOOD | change) + "\n"
    found = read_trace(text.encode())
    assert len(found.demands) == 1
    assert [line.number for line in found.bad] == [4]


@pytest.mark.parametrize("key", GOOD)
def test_no_key_may_lack(key: str) -> None:
    (bad,) = read_lines(json.dumps({name: value for name, value in GOOD.items() if name != key}).encode()).bad
    assert key in bad.reason


@pytest.mark.parametrize("line", ["[]", "no json", '{"at": NaN}', '{"at": 1, "at": 2}', "[" * 100_000, "\xff"])
def test_other_text_is_a_bad_line(line: str) -> None:
    found = read_lines(line.encode("latin-1"))
    assert not found.demands
    assert len(found.bad) == 1


def test_keys_that_others_add_are_passed_over() -> None:
    assert (
        read_lines(json.dumps(GOOD | {"client": "x"}).encode()).demands == read_lines(json.dumps(GOOD).encode()).demands
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"format": "other", "version": 1}'])
def test_what_does_not_begin_as_a_trace_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="first line"):
        read_trace(text.encode())


def test_another_version_is_told() -> None:
    with pytest.raises(ValueError, match="version 2"):
        read_trace(b'{"format": "glm-aria-trace", "version": 2}\n')
