"""The table and the picture of `scripts/bench-predict`: shares of the waiting without prefetch."""

from __future__ import annotations

from xml.etree import ElementTree

from orchestrator.predict.learning.generate import generate, rates_of
from orchestrator.predict.learning.series import WEEK
from orchestrator.predict.replay import Replayed
from scripts.predictlib.__main__ import Compared, picture, row

WITHOUT = Replayed(1000.0, 100, 50, 2000, 0, 0, 0)
AHEAD = Replayed(700.0, 100, 60, 1500, 600, 0, 0)
KNOWN = Replayed(500.0, 100, 80, 2000, 0, 0, 0)


def test_a_row_has_the_changes_and_leaves_out_what_nobody_can_know() -> None:
    assert row(Compared("jobs 1", 0.5, 20, WITHOUT, AHEAD, KNOWN)) == (
        "| jobs 1 | 50% | 20 | 50% | 60% | -30.0% | +5.0% | -50.0% | +0.0% |"
    )
    assert row(Compared("noise 1", 0.8, 0, WITHOUT, WITHOUT, None)).endswith("| 50% | 50% | +0.0% | +0.0% |  |  |")


def test_a_bar_is_as_long_as_users_wait() -> None:
    drawn = ElementTree.fromstring(
        picture([Compared("a", 0.5, 20, WITHOUT, AHEAD, KNOWN), Compared("b", 0.5, 0, WITHOUT, WITHOUT, None)])
    )
    *_, ahead, without = drawn.iter("{http://www.w3.org/2000/svg}rect")
    assert float(ahead.attrib["width"]) / float(without.attrib["width"]) == 0.7


def test_the_rates_of_a_trace_are_those_that_it_was_drawn_from() -> None:
    trace, rates = generate("jobs", 3, weeks=2), rates_of("jobs", 3, weeks=2)
    assert {len(row) for row in rates.values()} == {2 * WEEK}
    assert {one.model for one in trace} <= set(rates)
    expected = sum(map(sum, rates.values()))
    assert abs(len(trace) - expected) < 5 * expected**0.5
