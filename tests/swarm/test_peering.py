"""Which peers a node is told to ask."""

from __future__ import annotations

import dataclasses
from collections import Counter

from orchestrator.swarm.peering import FROM_OTHER_ZONES, MOST_PEERS, RENEW_AFTER, renewals
from orchestrator.swarm.units import Bits
from orchestrator.swarm.view import FleetView, NodeView
from tests.swarm.fleets import NOW, blob, node, nodes


def names(count: int) -> tuple[str, ...]:
    return tuple(f"m{number}" for number in range(count))


def peers_of(told: dict[str, NodeView], **changes: object) -> dict[str, tuple[str, ...]]:
    want = blob(1, 8, wanted_by=frozenset(told), **changes)
    fleet = FleetView(told, {want.digest: want})
    return {each.node: each.peers for each in renewals(fleet, frozenset(told), NOW)}


def test_in_a_small_fleet_each_asks_all() -> None:
    found = peers_of(nodes(names(4)))
    assert {node: set(peers) for node, peers in found.items()} == {each: set(names(4)) - {each} for each in names(4)}


def test_news_reaches_everybody_and_nobody_is_asked_by_many() -> None:
    found = peers_of(nodes(names(200)))
    assert set(map(len, found.values())) == {MOST_PEERS}
    askers = Counter(peer for peers in found.values() for peer in peers)
    assert MOST_PEERS // 2 <= min(askers.values()) <= max(askers.values()) <= 2 * MOST_PEERS
    reached, steps = {"m0"}, 0
    while len(reached) < 200:
        reached |= {node for node, peers in found.items() if reached & set(peers)}
        steps += 1
        assert steps <= 6


def test_who_leaves_and_comes_back_finds_the_peers_that_it_had() -> None:
    every = peers_of(nodes(names(60)))
    fewer = peers_of(nodes(names(59)))
    assert not any("m59" in peers for peers in fewer.values())
    moved = [name for name in fewer if set(fewer[name]) != set(every[name])]
    assert len(moved) <= MOST_PEERS
    assert peers_of(nodes(names(60))) == every


def test_most_peers_are_of_the_same_zone_and_two_of_others() -> None:
    told = {name: node(name, zone="ab"[number % 2]) for number, name in enumerate(names(60))}
    for name, peers in peers_of(told).items():
        away = [peer for peer in peers if told[peer].zone != told[name].zone]
        assert len(away) == FROM_OTHER_ZONES


def test_nodes_that_share_a_cache_are_one_holder() -> None:
    told = {name: node(name, cache=f"cache-{number // 3}") for number, name in enumerate(names(60))}
    for name, peers in peers_of(told).items():
        holders = [told[peer].holder for peer in peers]
        assert len(set(holders)) == len(holders) == MOST_PEERS
        assert told[name].holder not in holders


def test_those_of_a_few_caches_ask_one_of_each_other() -> None:
    told = {name: node(name, cache=f"cache-{number // 3}") for number, name in enumerate(names(6))}
    found = peers_of(told)
    assert {name: len(peers) for name, peers in found.items()} == dict.fromkeys(names(6), 1)
    told = {name: dataclasses.replace(told[name], peers=found[name], told=NOW) for name in told}
    assert not peers_of(told)


def test_of_a_cache_those_are_asked_that_fetch_into_it() -> None:
    every = names(16)
    told = {name: node(name, cache=f"cache-{number // 2}", starves=True) for number, name in enumerate(every)}
    for fetching in (every[::2], every[1::2]):
        have = {name: Bits.of(8, [index]) for index, name in enumerate(fetching)}
        for name, peers in peers_of(told, have=have).items():
            assert set(peers) == {other for other in fetching if told[other].cache != told[name].cache}
        everything = dict.fromkeys(every, Bits(8)) | dict.fromkeys(fetching, Bits.full(8))
        for peers in peers_of(told, have=everything).values():
            assert set(peers) <= set(fetching)


def test_two_nodes_of_a_cache_are_asked_where_each_has_something() -> None:
    told = {name: node(name, cache=f"cache-{number // 3}") for number, name in enumerate(names(6))}
    have = {"m0": Bits.of(8, [0]), "m3": Bits.of(8, [1, 2]), "m4": Bits.of(8, [3]), "m5": Bits.of(8, [2])}
    found = peers_of(told, have=have)
    assert {name: found[name] for name in ("m0", "m1", "m2")} == dict.fromkeys(("m0", "m1", "m2"), ("m3", "m4"))
    assert {name: found[name] for name in ("m3", "m4", "m5")} == dict.fromkeys(("m3", "m4", "m5"), ("m0",))


def test_one_holder_is_among_them() -> None:
    told = nodes(names(30))
    holders = frozenset({"m3", "m4"})
    found = peers_of(told, holders=holders, have={name: Bits.full(8) for name in holders})
    assert all(len(holders & set(peers)) >= 1 for peers in found.values())
    assert not holders & set(found)


def test_peers_stay_until_one_is_gone() -> None:
    told = nodes(names(40))
    found = peers_of(told)
    told = {name: dataclasses.replace(told[name], peers=found[name], told=NOW) for name in told}
    assert not peers_of(told)
    del told["m7"]
    lost = peers_of(told)
    assert set(lost) == {name for name, each in told.items() if "m7" in each.peers}
    assert all("m7" not in peers for peers in lost.values())


def test_a_node_that_starves_gets_peers_that_have_something_new() -> None:
    told = nodes(names(40))
    found = peers_of(told)
    told = {name: dataclasses.replace(told[name], peers=found[name], told=NOW) for name in told}
    have = {"m20": Bits.full(8)}
    starving = {**told, "m1": dataclasses.replace(told["m1"], starves=True)}
    assert not peers_of(starving, have=have)
    later = {**told, "m1": dataclasses.replace(told["m1"], starves=True, told=NOW - RENEW_AFTER)}
    assert set(peers_of(later, have=have)) <= {"m1"}
    assert "m20" in {"m1": told["m1"].peers, **peers_of(later, have=have)}["m1"]


def test_nodes_that_came_first_do_not_all_ask_the_same() -> None:
    """As it comes when the first nodes are told whom to ask while few others are there."""
    told: dict[str, NodeView] = {}
    for count in range(1, 121):
        told[f"m{count}"] = node(f"m{count}", told=NOW - RENEW_AFTER)
        for name, peers in peers_of(told).items():
            told[name] = dataclasses.replace(told[name], peers=peers)
    for _ in range(3):
        for name, peers in peers_of(told).items():
            told[name] = dataclasses.replace(told[name], peers=peers)
    askers = Counter(peer for each in told.values() for peer in each.peers)
    assert len(askers) == 120
    assert max(askers.values()) <= 1.5 * MOST_PEERS


def test_who_is_not_to_be_asked_may_ask_others() -> None:
    told = nodes(names(5))
    want = blob(1, 8, wanted_by=frozenset(told))
    found = {
        each.node: each.peers for each in renewals(FleetView(told, {want.digest: want}), frozenset(told) - {"m0"}, NOW)
    }
    assert set(found["m0"]) == {"m1", "m2", "m3", "m4"}
    assert not any("m0" in peers for peers in found.values())
