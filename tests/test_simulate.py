"""Simulated fleets keep the bars of real ones, and the same seed gives the same fleet."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from scripts.simulatelib import fitting, tables
from scripts.simulatelib.cases import EIGHT, FAILURES, FOUR, NARROW, Failure, Narrow
from scripts.simulatelib.costs import Costs
from scripts.simulatelib.runs import Result, run
from scripts.simulatelib.world import Fault, Trouble, World

MIB = 1 << 20


@pytest.mark.parametrize("narrow", NARROW, ids=lambda narrow: narrow.name)
def test_a_hundred_nodes_take_one_copy_and_little_more_than_the_ideal_time(narrow: Narrow) -> None:
    result = run(replace(narrow.of(100), sizes=(4 << 30,)), Costs(), 1)
    assert tables.is_within(narrow, result), result
    assert result.missing == 0
    assert 0.999 <= result.egress <= 1.02
    assert result.peers >= 0.98
    assert result.fairness >= 0.9


def test_a_model_of_many_files_takes_one_copy() -> None:
    result = run(replace(EIGHT, sizes=(24 * MIB,) * 16), Costs(), 1)
    assert result.missing == 0
    assert result.egress <= 1.01
    assert result.wall <= 1.2


def test_the_same_seed_gives_the_same_fleet() -> None:
    world = replace(EIGHT, sizes=(64 * MIB,), troubles=(Trouble(Fault.KILL, 0.5, nodes=1),))
    assert run(world, Costs(), 7) == run(world, Costs(), 7)
    assert run(world, Costs(), 7) != run(world, Costs(), 8)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.what)
def test_what_fails_costs_no_more_than_the_table_of_failures_says(failure: Failure, seed: int) -> None:
    result = run(failure.world, Costs(), seed)
    assert result.missing == 0
    assert failure.is_met(result), result


def test_pictures_and_tables_have_every_fleet() -> None:
    world = World(0, (64 * MIB,), 1e8, 1e8)
    narrow = [Narrow(name, "", world, 1.5) for name in ("origin", "NIC")]
    found: dict[str, list[Result]] = {
        each.name: [run(each.of(nodes), Costs(), 1) for nodes in (4, 8)] for each in narrow
    }
    drawn = tables.pictures(narrow, found)
    circles = [len(ET.fromstring(text).findall(".//{*}circle")) for text in drawn.values()]
    assert circles == [2 * 2 * 2 + 2 * 2, 2 * 2 * 2]
    rows = [line for line in tables.sizes(narrow, found, "").splitlines() if line.startswith(("| origin", "| NIC"))]
    assert len(rows) == 4


def test_costs_are_fitted_to_what_real_runs_took(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "four 1 glm-aria --fleet: 18.5 s, egress 1.000, 0.750 from peers, 9.0 CPU s",
        "four 2 glm-aria --fleet: 19.5 s, egress 1.000, 0.750 from peers, 9.0 CPU s",
        "four 3 glm-aria --fleet: 30.0 s, egress 1.000, 0.750 from peers, 9.0 CPU s",
        "eight 1 glm-aria --lan: 40.0 s, egress 1.050, 0.850 from peers, 9.0 CPU s",
        "eight 1 hf: 300.0 s, egress 8.000, 9.0 CPU s",
        "going on without hf",
    ]
    real = fitting.walls(lines)
    assert real == {FOUR: 19.5, replace(EIGHT, is_alone=True): 40.0}
    # A fleet that takes as long as its nodes need to prove and to ask.
    monkeypatch.setattr(fitting, "_simulated", lambda _, costs: 10 + 5 * costs.finish_s + 5 * costs.request_s)
    world = replace(FOUR)
    fitted = fitting.fit({world: 18.0}, Costs())
    assert abs(10 + 5 * fitted.finish_s + 5 * fitted.request_s - 18.0) < 2.0
    assert fitted.news_s == Costs().news_s
