"""Simulated fleets keep the bars of real ones, and the same seed gives the same fleet."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from scripts.simulatelib import fitting, tables
from scripts.simulatelib.cases import EIGHT, FAILURES, FOUR, NARROW, Failure, Narrow
from scripts.simulatelib.costs import Costs
from scripts.simulatelib.pieces import Pieces
from scripts.simulatelib.runs import Result, run
from scripts.simulatelib.world import Fault, Trouble, World

MIB = 1 << 20


@pytest.mark.sampled(2)
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


@pytest.mark.sampled(5)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.what)
def test_what_fails_costs_no_more_than_the_table_of_failures_says(failure: Failure, seed: int) -> None:
    result = run(failure.world, Costs(), seed)
    assert result.missing == 0
    assert failure.is_met(result), result


def test_a_node_asks_a_peer_for_the_rarest_piece_that_this_one_offers_and_it_lacks() -> None:
    nodes, count = 12, 40
    pieces = Pieces(nodes, np.arange(count) == count - 1, 4, seed=3)
    chance = np.random.default_rng(3)
    for node in range(nodes):
        pieces.tell(node, tuple((node + step) % nodes for step in (1, 2, 3)), 0)
    found = 0
    for step in range(1, 60):
        who = chance.permutation(nodes)[:6]
        pieces.offer(who, chance.integers(0, min(count, step), 6), step)
        # Some get a piece that is behind others that they lack, and some lose one that was long there.
        some = np.unique(chance.integers(0, nodes, 3))
        lost = chance.integers(0, count, len(some))
        is_lacked = pieces.lacks[some, lost]
        pieces.take(some[is_lacked], lost[is_lacked], step)
        pieces.give_up(some[~is_lacked], lost[~is_lacked], step)
        choice = pieces.choose(np.arange(nodes), step, 2, 4)
        for node, slot, first, length in zip(choice.nodes, choice.slots, choice.first, choice.length, strict=True):
            there = (pieces.offered[pieces.peers[node, slot]] <= step) & pieces.lacks[node]
            assert length == there[first : first + 1].sum() == 1
            assert pieces.rarity[node, first] == pieces.rarity[node, there].min()
            found += 1
        pieces.take(choice.nodes[::2], choice.first[::2], step)
    assert found > 100


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
