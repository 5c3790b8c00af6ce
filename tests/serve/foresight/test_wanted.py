"""Wishes are counted by model, of which few have a name."""

from __future__ import annotations

from orchestrator.predict.demand import Demand
from orchestrator.serve.foresight.wanted import MOST, WantedModels


def wish(model: str, came: int = 0) -> Demand:
    return Demand(1.0, model, 10, came, 0.0)


def test_hits_and_misses_are_told_apart() -> None:
    wanted = WantedModels()
    assert wanted.counts() == ()
    wanted.add([wish("org/a"), wish("org/a", 5), wish("org/b")])
    wanted.add([wish("org/a")])
    assert wanted.counts() == ((("org/a", "hit"), 2), (("org/a", "miss"), 1), (("org/b", "hit"), 1))


def test_what_clients_ask_for_makes_no_endless_labels() -> None:
    wanted = WantedModels()
    wanted.add(wish(f"org/{number}") for number in range(MOST + 50))
    wanted.add([wish("org/0"), wish("org/none", 1)])
    found = dict(wanted.counts())
    assert len({model for model, _ in found}) == MOST + 1
    assert (found["org/0", "hit"], found["", "hit"], found["", "miss"]) == (2, 50, 1)
