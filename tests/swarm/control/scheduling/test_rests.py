"""Origins that were asked too much: whose word counts, and for how long."""

from __future__ import annotations

from orchestrator.swarm.control.scheduling.facts import RestFact
from orchestrator.swarm.control.scheduling.rests import OriginQuiet


def hear(rests: OriginQuiet, node: str, seconds: int, now: float, *, is_only: bool = False) -> float:
    rests.hear(RestFact("hub", seconds, node), now, is_only=is_only)
    return rests.until["hub"]


def test_the_word_of_one_node_counts_for_a_minute_and_then_for_a_minute_not() -> None:
    rests = OriginQuiet()
    assert hear(rests, "a", 20, 100.0) == 120.0
    assert hear(rests, "a", 600, 130.0) == 160.0
    assert hear(rests, "a", 600, 219.0) == 160.0
    assert hear(rests, "a", 600, 220.0) == 280.0


def test_what_two_nodes_were_told_counts_for_ten() -> None:
    rests = OriginQuiet()
    hear(rests, "a", 300, 100.0)
    assert hear(rests, "b", 240, 160.0) == 400.0
    assert hear(rests, "a", 9999, 170.0) == 770.0


def test_a_node_that_is_the_only_one_needs_nobody_else() -> None:
    assert hear(OriginQuiet(), "a", 9999, 100.0, is_only=True) == 700.0


def test_what_is_over_is_forgotten() -> None:
    rests = OriginQuiet()
    hear(rests, "a", 10, 100.0)
    assert not rests.forget(110.0)
    assert rests.forget(110.5) == ("hub",)
    assert not rests.until
    assert hear(rests, "a", 60, 130.0) == 190.0
