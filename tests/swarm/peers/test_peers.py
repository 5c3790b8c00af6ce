"""Nodes that fetch one model together: what the origin sent, what came from peers, and what is placed."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.sources import node_of
from orchestrator.depot.watch import State, Watch
from orchestrator.events import Notice
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.swarm.peers.liars import Altering
from tests.swarm.peers.nodes import Fleet, FleetNode, MakeFleet, Nobody, until_over

SIZE = 48 * MIB
BIG = {"big.safetensors": generate(SIZE, 1)}
SMALL = {f"part-{number:02}.json": generate(1000 + 17 * number, number) for number in range(40)}


def from_peers(watches: Iterable[Watch]) -> dict[str, int]:
    sent: dict[str, int] = {}
    for watch in watches:
        for name, count in watch.arrived.by_source.items():
            if node := node_of(name):
                sent[node] = sent.get(node, 0) + count
    return sent


def assert_placed(fleet: Fleet, nodes: Iterable[FleetNode], watches: Iterable[Watch]) -> None:
    lost = {watch.job.name: str(watch.error) for watch in watches if watch.state is not State.PLACED}
    assert not lost, [node.heard.messages for node in nodes]
    for node in nodes:
        for path, data in fleet.files.items():
            assert fleet.blob(node, path) == data, (node.name, path)


def test_nodes_fetch_each_a_share_and_have_the_rest_from_each_other(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(BIG | SMALL)
    nodes = [fleet.node() for _ in range(3)]
    watches = [watch for node in nodes for watch in fleet.want(node)]
    until_over(*watches)
    assert_placed(fleet, nodes, watches)
    assert fleet.egress <= 1.1
    sent = from_peers(watches)
    assert sum(sent.values()) >= (3 - 1.1) * sum(map(len, fleet.files.values()))
    assert all(sent[node.name] for node in nodes)


def test_who_comes_late_has_all_from_those_who_are_done(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(BIG | SMALL)
    first = fleet.node()
    until_over(*(early := fleet.want(first)))
    before = fleet.hub.log.bytes_sent()
    late = fleet.node()
    watches = fleet.want(late)
    until_over(*watches)
    assert_placed(fleet, [first, late], [*early, *watches])
    assert fleet.hub.log.bytes_sent() - before <= 0.1 * SIZE
    assert from_peers(watches)["node-0"] >= 0.9 * SIZE


def test_a_peer_that_alters_bytes_is_found_at_the_first_hop(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(BIG)
    liar = fleet.node(disguise=Altering)
    honest = [fleet.node() for _ in range(2)]
    watches = [watch for node in (liar, *honest) for watch in fleet.want(node)]
    until_over(*watches)
    assert_placed(fleet, fleet.nodes, watches)
    for node in honest:
        assert node.heard.codes.count("peer-altered") <= 1
        assert {one.node for one in node.peers.seen() if not one.is_trusted} <= {"node-0"}
    assert any("peer-altered" in node.heard.codes for node in honest)
    assert "peer-altered" not in liar.heard.codes
    assert fleet.egress <= 1.8
    assert {"node-1", "node-2"} <= from_peers(watches).keys()


def test_a_liar_that_publishes_hashes_of_what_it_altered_costs_a_dispute(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(BIG)
    liar = fleet.node(disguise=lambda holdings: Altering(holdings, name="node-0"))
    honest = [fleet.node() for _ in range(2)]
    watches = [watch for node in (liar, *honest) for watch in fleet.want(node)]
    until_over(*watches)
    assert_placed(fleet, fleet.nodes, watches)
    assert fleet.egress <= 2.2


def test_a_mirror_that_lies_to_all_costs_one_more_copy_and_is_named(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(BIG)
    fleet.mirror("liar", faults=[Fault("substitute", "*.safetensors")])
    nodes = [fleet.node() for _ in range(4)]
    watches = [watch for node in nodes for watch in fleet.want(node)]
    until_over(*watches)
    assert_placed(fleet, nodes, watches)
    told = [event for node in nodes for event in node.heard.events if isinstance(event, Notice)]
    assert [event.mirror for event in told if event.code == "mirror-lied"] == ["liar"] * len(nodes)
    assert not [event for event in told if event.code == "peer-altered"]
    assert fleet.egress <= 2.0


def test_a_small_file_that_a_peer_altered_is_fetched_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL)
    liar = fleet.node(disguise=Altering)
    until_over(*(early := fleet.want(liar)))
    honest = fleet.node()
    watches = fleet.want(honest)
    until_over(*watches)
    assert_placed(fleet, [liar, honest], [*early, *watches])
    assert fleet.egress <= 2.6  # with the answers that say where a file is


def test_without_any_answer_of_a_peer_the_origin_is_enough(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(BIG)
    node = fleet.node(guide=Nobody)
    fleet.strangers.append(type(fleet.others("")[0])("gone", "http://127.0.0.1:9"))
    watches = fleet.want(node)
    until_over(*watches)
    assert_placed(fleet, [node], watches)
    assert fleet.egress <= 1.1
    assert node.peers.seen() == ()
