"""What holds for every plan, and what is decided in cases that people would ask about."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

import pytest
from hypothesis import given

from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.goods import Good
from orchestrator.swarm.leasing import MOST_LEASES, SILENT_AFTER, allowed, may, rest_after
from orchestrator.swarm.plan import EVICT_AFTER, plan
from orchestrator.swarm.trust import trusted_nodes
from orchestrator.swarm.units import Bits, Unit, piece_count
from orchestrator.swarm.view import (
    BlobView,
    Bundle,
    BundleView,
    Evict,
    FleetView,
    Lease,
    NodeState,
    OriginView,
    Peers,
    Revoke,
    TaskView,
    Work,
)
from tests.swarm.fleets import NAMES, NOW, any_fleet, blob, digest, lease, node, nodes, units_of


def key(work: Work) -> tuple[object, int]:
    return (work.digest, work.index) if isinstance(work, Unit) else (work.task, work.index)


def leases_of(fleet: FleetView) -> list[Lease]:
    return [lease for good in fleet.goods for lease in good.leases]


def given_by(fleet: FleetView) -> list[Lease]:
    return [action for action in plan(fleet, NOW) if isinstance(action, Lease)]


@given(any_fleet())
def test_work_is_never_leased_twice(fleet: FleetView) -> None:
    held = {lease.id: key(lease.work) for lease in leases_of(fleet)}
    for action in plan(fleet, NOW):
        if isinstance(action, Revoke):
            del held[action.lease.id]
        elif isinstance(action, Lease):
            assert key(action.work) not in held.values()
            held[f"new {key(action.work)}"] = key(action.work)


@given(any_fleet())
def test_leases_go_to_nodes_that_are_ready_trusted_and_want_it(fleet: FleetView) -> None:
    trusted = trusted_nodes(fleet, NOW)
    wanted = {key_of: good for good in fleet.goods for key_of in [Good.of(good, fleet, trusted).key]}
    for new in given_by(fleet):
        good = wanted[new.work.digest if isinstance(new.work, Unit) else (new.work.task, new.work.index)]
        assert new.node in trusted
        assert fleet.nodes[new.node].state == NodeState.READY
        assert new.node in good.wanted_by
        assert fleet.nodes[new.node].shares_restricted or not good.is_restricted


@given(any_fleet())
def test_no_origin_gets_more_leases_than_it_allows(fleet: FleetView) -> None:
    actions = plan(fleet, NOW)
    ended = {action.lease.id for action in actions if isinstance(action, Revoke)}
    trusted = trusted_nodes(fleet, NOW)
    hosts = {Good.of(good, fleet, trusted).key: good.host for good in fleet.goods}
    new = Counter(
        hosts[action.work.digest if isinstance(action.work, Unit) else (action.work.task, action.work.index)]
        for action in actions
        if isinstance(action, Lease)
    )
    kept = Counter(
        good.host
        for good in fleet.goods
        for lease in good.leases
        if lease.id not in ended and not Good.of(good, fleet, trusted).is_there(lease)
    )
    for host, count in new.items():
        assert kept[host] + count <= allowed(fleet.origins.get(host), NOW)


@given(any_fleet())
def test_a_node_has_a_bounded_number_of_leases(fleet: FleetView) -> None:
    new = Counter(each.node for each in given_by(fleet))
    assert all(count <= MOST_LEASES for count in new.values())


@given(any_fleet())
def test_nothing_starves(fleet: FleetView) -> None:
    """Where work is free, a node ready and an origin willing, one of the nodes that want it fetches something."""
    actions = plan(fleet, NOW)
    trusted = trusted_nodes(fleet, NOW)
    ended = {action.lease.id for action in actions if isinstance(action, Revoke)}
    running = [each for each in leases_of(fleet) if each.id not in ended]
    running += [action for action in actions if isinstance(action, Lease)]
    leased = {key(each.work) for each in running}
    goods = [Good.of(view, fleet, trusted) for view in fleet.goods]
    used = Counter(good.view.host for good in goods for work in good.works(0) if key(work) in leased)
    for good in goods:
        able = {node.id for name in trusted if may(node := fleet.nodes[name], good) and node.state == NodeState.READY}
        is_free = any(key(work) not in leased for work in good.works(0))
        if is_free and able and used[good.view.host] < allowed(fleet.origins.get(good.view.host), NOW):
            assert able & {each.node for each in running}


@given(any_fleet())
def test_what_somebody_has_is_not_fetched_again(fleet: FleetView) -> None:
    trusted = trusted_nodes(fleet, NOW)
    for new in given_by(fleet):
        if isinstance(new.work, Unit):
            good = Good.of(fleet.blobs[new.work.digest], fleet, trusted)
            first, last = new.work.start // PIECE, (new.work.end - 1) // PIECE
            assert good.missing >> first & 1
            assert good.missing >> last & 1
            whole = units_of(new.work.digest, fleet.blobs[new.work.digest].size)[new.work.index]
            assert whole.start <= new.work.start < new.work.end <= whole.end


@given(any_fleet())
def test_the_same_view_gives_the_same_plan_in_whatever_order_it_is_told(fleet: FleetView) -> None:
    turned = dataclasses.replace(
        fleet,
        nodes=dict(reversed(list(fleet.nodes.items()))),
        blobs={
            name: dataclasses.replace(each, have=dict(reversed(list(each.have.items()))))
            for name, each in fleet.blobs.items()
        },
    )
    assert plan(fleet, NOW) == plan(fleet, NOW)
    assert set(map(repr, plan(turned, NOW))) == set(map(repr, plan(fleet, NOW)))


@given(any_fleet())
def test_peers_are_few_and_can_be_asked(fleet: FleetView) -> None:
    trusted = trusted_nodes(fleet, NOW)
    for action in plan(fleet, NOW):
        if isinstance(action, Peers):
            assert len(set(action.peers)) == len(action.peers) <= 8
            assert action.node not in action.peers
            assert set(action.peers) <= trusted


@given(any_fleet())
def test_nobody_is_evicted_while_others_need_it(fleet: FleetView) -> None:
    for action in plan(fleet, NOW):
        if isinstance(action, Evict):
            gone = fleet.nodes[action.node]
            rest = dataclasses.replace(fleet, nodes={n: v for n, v in fleet.nodes.items() if n != action.node})
            if gone.state == NodeState.DRAINING and action.node in trusted_nodes(fleet, NOW):
                before, after = trusted_nodes(fleet, NOW), trusted_nodes(rest, NOW)
                stay = frozenset(name for name in after if fleet.nodes[name].state == NodeState.READY)
                for good in fleet.goods:
                    lacks = [n for n in good.wanted_by & stay if not Good.of(good, fleet, before).is_whole(n)]
                    lost = Good.of(good, fleet, stay).missing & ~Good.of(good, fleet, before).missing
                    others = [n for n in before if n != action.node and fleet.nodes[n].state != NodeState.READY]
                    assert not lacks or not lost or others


# -- cases -------------------------------------------------------------------------------------------------------------


def fleet(*blobs: BlobView, **changes: object) -> FleetView:
    base = FleetView(nodes(NAMES), {each.digest: each for each in blobs})
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_a_new_fleet_begins_at_the_front_with_one_unit_each() -> None:
    new = given_by(fleet(blob(1, 20)))
    assert [each.work.index for each in new] == list(range(6))
    assert {each.node for each in new} == set(NAMES)


def test_a_node_gets_two_seconds_of_work() -> None:
    quick = {"n0": node("n0", pace=5 * PIECE / 2.0)}
    new = given_by(fleet(blob(1, 20), nodes=quick))
    assert len(new) == 5
    assert len(given_by(fleet(blob(1, 20), nodes={"n0": node("n0", pace=1e12)}))) == MOST_LEASES
    assert len(given_by(fleet(blob(1, 20), nodes={"n0": node("n0", pace=1.0)}))) == 1


def test_the_last_units_go_to_the_fastest() -> None:
    paces = {name: node(name, pace=1e6 * (number + 2)) for number, name in enumerate(NAMES)}
    assert [each.node for each in given_by(fleet(blob(1, 2), nodes=paces))] == ["n5", "n4"]


def test_a_slow_node_gets_nothing_while_there_are_others() -> None:
    paces = {**nodes(NAMES, pace=4e6), "n2": node("n2", pace=9e5)}
    assert "n2" not in {each.node for each in given_by(fleet(blob(1, 20), nodes=paces))}
    alone = dataclasses.replace(blob(1, 20), wanted_by=frozenset({"n2"}))
    assert [each.node for each in given_by(fleet(alone, nodes=paces))] == ["n2"]


def test_a_congested_node_loses_its_lease_to_an_idle_one() -> None:
    size = 3 * PIECE
    leases = tuple(
        lease(1, index, f"n{index}", size, since=NOW - 4, done=1, rate=rate)
        for index, rate in enumerate((1e6, 1e6, 1e5))
    )
    have = {"n2": Bits(3, 0)}
    actions = plan(fleet(blob(1, 3, leases=leases, have=have)), NOW)
    assert Revoke(leases[2]) in actions
    moved = [each for each in actions if isinstance(each, Lease)]
    assert [each.work.index for each in moved] == [2]
    assert moved[0].node in {"n3", "n4", "n5"}
    busy = {name: node(name) for name in ("n0", "n1", "n2")}
    assert Revoke(leases[2]) not in plan(fleet(blob(1, 3, leases=leases), nodes=busy), NOW)


def test_a_lease_that_stands_still_near_its_end_is_left_to_its_node() -> None:
    quick = {"n0": node("n0"), **nodes(["n1", "n2"], pace=PIECE)}
    for done, is_moved in ((PIECE // 8 * 7, False), (PIECE // 2, True)):
        still = lease(1, 0, "n0", PIECE, since=NOW - 4, moved=NOW - 3.5, done=done, rate=0)
        assert (Revoke(still) in plan(fleet(blob(1, 1, leases=(still,)), nodes=quick), NOW)) == is_moved


def test_a_congested_node_keeps_its_lease_while_there_is_other_work() -> None:
    def of(pieces: int, **changes: object) -> FleetView:
        rates = (1e6, 1e6, 1e5)
        size, since = pieces * PIECE, NOW - 4
        leases = tuple(lease(1, i, f"n{i}", size, since=since, done=1, rate=rate) for i, rate in enumerate(rates))
        return fleet(blob(1, pieces, leases=leases), **changes)

    actions = plan(of(9), NOW)
    assert not any(isinstance(each, Revoke) for each in actions)
    assert [each.work.index for each in actions if isinstance(each, Lease)] == [3, 4, 5]
    for fewer in (of(5), of(9, origins={"hub": OriginView(3)})):  # two pieces for three idle nodes; no room at all
        assert [each.lease.node for each in plan(fewer, NOW) if isinstance(each, Revoke)] == ["n2"]


@pytest.mark.parametrize(
    ("change", "is_over"),
    [
        ({}, False),
        ({"moved": NOW - 5.1, "since": NOW - 9, "done": 1}, True),
        ({"moved": NOW - 4.9, "since": NOW - 9, "done": 1}, False),
        ({"node": "n9"}, True),
    ],
)
def test_a_lease_that_brings_nothing_is_free_again(change: dict[str, object], is_over: bool) -> None:
    one = dataclasses.replace(lease(1, 0, "n0", PIECE), **change)  # type: ignore[arg-type]
    actions = plan(fleet(blob(1, 1, leases=(one,))), NOW)
    assert (Revoke(one) in actions) == is_over
    assert any(isinstance(each, Lease) for each in actions) == is_over


def test_a_node_that_stalled_gets_nothing_while_there_are_others() -> None:
    resting = {**nodes(NAMES), "n2": node("n2", rests_until=NOW + 1), "n3": node("n3", rests_until=NOW)}
    assert {each.node for each in given_by(fleet(blob(1, 20), nodes=resting))} == set(NAMES) - {"n2"}
    alone = dataclasses.replace(blob(1, 20), wanted_by=frozenset({"n2"}))
    assert [each.node for each in given_by(fleet(alone, nodes=resting))] == ["n2"]
    busy = tuple(lease(1, index, "n1", 4 * PIECE, done=1) for index in range(2))
    two = dataclasses.replace(blob(1, 4, leases=busy), wanted_by=frozenset({"n1", "n2"}))
    assert given_by(fleet(two, nodes=resting)) == []


def test_a_rest_doubles_and_has_an_end() -> None:
    assert [rest_after(stalls) for stalls in (0, 1, 2, 3, 6, 2**40)] == [0, 10, 20, 40, 320, 320]


def test_a_lease_that_brings_next_to_nothing_goes_to_who_was_faster() -> None:
    crawling = lease(1, 0, "n0", PIECE, since=NOW - 4, moved=NOW, done=4, rate=1)
    quick = {"n0": node("n0", pace=1), **{name: node(name, pace=4e6) for name in ("n1", "n2")}}
    actions = plan(fleet(blob(1, 1, leases=(crawling,)), nodes=quick), NOW)
    assert Revoke(crawling) in actions
    assert [each.node for each in actions if isinstance(each, Lease)] in (["n1"], ["n2"])


def test_a_node_that_crawls_makes_room_for_one_of_which_nothing_is_known() -> None:
    crawling = lease(1, 0, "n0", PIECE, since=NOW - 11, moved=NOW, done=11, rate=1)
    pair = {"n0": node("n0", pace=1), "n1": node("n1")}
    actions = plan(fleet(blob(1, 1, leases=(crawling,)), nodes=pair), NOW)
    assert [each.is_stalled for each in actions if isinstance(each, Revoke)] == [True]
    assert [each.node for each in actions if isinstance(each, Lease)] == ["n1"]
    for other in (node("n1", pace=2), node("n1", rests_until=NOW + 1)):
        assert Revoke(crawling) not in plan(fleet(blob(1, 1, leases=(crawling,)), nodes={**pair, "n1": other}), NOW)


def test_work_that_waits_behind_other_work_of_its_node_is_not_silent() -> None:
    one = lease(1, 0, "n0", 2 * PIECE, since=NOW - 9, done=1)
    two = lease(1, 1, "n0", 2 * PIECE, since=NOW - 9, moved=NOW - 9)
    assert not any(isinstance(each, Revoke) for each in plan(fleet(blob(1, 2, leases=(one, two))), NOW))


def test_what_a_lost_node_alone_had_is_fetched_again() -> None:
    have = {"n0": Bits.full(4), "n1": Bits.of(4, (0, 1))}
    lost = {**nodes(NAMES), "n0": node("n0", beat=NOW - 7)}
    assert not given_by(fleet(blob(1, 4, have=have)))
    assert [each.work.index for each in given_by(fleet(blob(1, 4, have=have), nodes=lost))] == [2, 3]


def test_the_word_of_an_accused_node_counts_for_nothing() -> None:
    have = {"n0": Bits.full(4)}
    accused = {"n0": frozenset({"n1"})}
    new = given_by(fleet(blob(1, 4, have=have, accused=accused)))
    assert len(new) == 4
    assert "n0" not in {each.node for each in new}


def test_only_what_is_missing_of_a_unit_is_leased() -> None:
    size = 1024 * PIECE  # units of four pieces
    half = Bits(1024, Bits.full(1024).mask & ~(0b1110 << 40))
    [new] = given_by(
        FleetView(nodes(NAMES), {digest(1): BlobView(digest(1), size, {"n0": half}, wanted_by=frozenset(NAMES))})
    )
    assert (new.work.index, isinstance(new.work, Unit)) == (10, True)
    assert isinstance(new.work, Unit)
    assert (new.work.start, new.work.end) == (41 * PIECE, 44 * PIECE)


def test_an_origin_gets_as_many_leases_as_it_allows() -> None:
    assert len(given_by(fleet(blob(1, 20), origins={"hub": OriginView(4)}))) == 4


def test_small_files_are_leased_together_and_first() -> None:
    bundle = Bundle("task", 0, (digest(7), digest(8)), 2000)
    view = BundleView(bundle, {"n1": Bits.of(2, [0])}, wanted_by=frozenset(NAMES), host="hub")
    tasks = (TaskView("task", 0, (digest(1),)),)
    new = given_by(fleet(blob(1, 20), bundles=(view,), tasks=tasks, origins={"hub": OriginView(2)}))
    assert [each.work for each in new] == [bundle, units_of(digest(1), 20 * PIECE)[0]]
    whole = dataclasses.replace(view, have={"n1": Bits.of(2, [0]), "n2": Bits.of(2, [1])})
    assert not given_by(fleet(bundles=(whole,), tasks=tasks))


def test_nodes_that_share_no_closed_repo_get_no_leases_of_one() -> None:
    told = {name: node(name, shares_restricted=name == "n3") for name in NAMES}
    closed = blob(1, 4, is_restricted=True, have={"n0": Bits.full(4)})
    assert {each.node for each in given_by(fleet(closed, nodes=told))} == {"n3"}


def test_who_has_other_work_before_gets_no_leases_and_is_given_peers() -> None:
    later = blob(1, 20, waiting=frozenset(NAMES) - {"n3"})
    assert {each.node for each in given_by(fleet(later))} == {"n3"}
    assert {each.node for each in plan(fleet(later), NOW) if isinstance(each, Peers)} == set(NAMES)


def test_a_task_with_a_priority_of_one_more_gets_twice_as_much() -> None:
    many = tuple(f"m{number}" for number in range(30))
    views = [blob(number, 40, wanted_by=frozenset(many)) for number in (1, 2)]
    tasks = (TaskView("low", 0, (digest(1),)), TaskView("high", 1, (digest(2),)))
    new = given_by(FleetView(nodes(many), {each.digest: each for each in views}, tasks=tasks))
    assert Counter(each.work.digest for each in new if isinstance(each.work, Unit)) == {digest(1): 10, digest(2): 20}


def test_a_draining_node_leaves_when_others_have_what_it_has() -> None:
    drains = {**nodes(NAMES), "n0": node("n0", state=NodeState.DRAINING)}
    alone = blob(1, 2, have={"n0": Bits.full(2), "n1": Bits.of(2, [0])})
    assert Evict("n0") not in plan(fleet(alone, nodes=drains), NOW)
    shared = blob(1, 2, have={"n0": Bits.full(2), "n1": Bits.full(2)})
    assert Evict("n0") in plan(fleet(shared, nodes=drains), NOW)


def test_a_lost_node_is_forgotten_after_a_while() -> None:
    lost = {"n0": node("n0", state=NodeState.LOST, beat=NOW - EVICT_AFTER - 1), "n1": node("n1", beat=NOW - 30)}
    assert [each for each in plan(fleet(nodes=lost), NOW) if isinstance(each, Evict)] == [Evict("n0")]


def test_a_thousand_nodes_and_512_units_cost_little() -> None:
    names = tuple(f"node-{number}" for number in range(1000))
    size = 32 << 30
    count = piece_count(size)
    have = {name: Bits(count, (0x5A5A5A5A << 20 * number) & Bits.full(count).mask) for number, name in enumerate(names)}
    one = BlobView(digest(1), size, have, wanted_by=frozenset(names), host="hub")
    ring = {name: node(name, peers=(*names[n - 8 : n], *names[: max(0, 8 - n)])[:8]) for n, name in enumerate(names)}
    told = FleetView(ring, {one.digest: one})
    plan(told, NOW)
    begun = time.process_time()
    plan(told, NOW)
    assert time.process_time() - begun < 0.2  # about 0.004


def test_what_another_site_fetches_is_left_to_it_and_what_it_begins_with_comes_last_from_its_end() -> None:
    shared = blob(0, 8, elsewhere=0b0000_0100, later=0b1010_1010)
    fleet = FleetView(nodes(NAMES[:1]), {shared.digest: shared})
    works = Good.of(shared, fleet, frozenset(NAMES[:1])).works(taken=0b0000_0001)
    assert [work.index for work in works if isinstance(work, Unit)] == [4, 6, 7, 5, 3, 1]


def test_of_what_two_sites_fetch_the_one_goes_on_whose_it_is_to_begin_with() -> None:
    leases = tuple(lease(0, index, NAMES[0], 4 * PIECE) for index in range(3))
    shared = blob(0, 4, leases=leases, elsewhere=0b0011, later=0b0101)
    actions = plan(FleetView(nodes(NAMES[:1]), {shared.digest: shared}), NOW)
    assert [action.lease.work for action in actions if isinstance(action, Revoke)] == [leases[0].work]


@pytest.mark.parametrize(
    ("ago", "done", "moved", "is_kept"),
    [
        (-9, 0, NOW, False),
        (-9, PIECE // 2, NOW - 60, True),
        (2, PIECE // 2, NOW - 60, True),
        (9, PIECE // 2, NOW - 60, False),
    ],
    ids=["not begun", "under way", "just after", "long after"],
)
def test_an_origin_that_wants_to_be_left_alone(ago: float, done: int, moved: float, is_kept: bool) -> None:
    """It gets no new leases until then, and one that is under way is nobody's fault."""
    running = lease(1, 0, "n0", 20 * PIECE, since=NOW - 90, moved=moved, done=done)
    view = fleet(blob(1, 20, leases=(running,)), origins={"hub": OriginView(32, NOW - ago)})
    actions = plan(view, NOW)
    revoked = [action for action in actions if isinstance(action, Revoke)]
    assert [action.lease for action in revoked] == ([] if is_kept else [running])
    assert any(action.is_stalled for action in revoked) is (ago > SILENT_AFTER)
    assert bool(given_by(view)) is (ago > 0)
