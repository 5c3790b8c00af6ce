"""Sites that tell each other of their nodes: together they fetch one copy, and parted one each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.files import MAX_FILE, Algorithm, Digest
from orchestrator.core.versions import Order, Vector
from orchestrator.errors import ProtocolError
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.control.messages import Progress
from orchestrator.swarm.control.scheduling.abroad import APART, HUNGRY, MOST_SITES, Abroad
from orchestrator.swarm.control.scheduling.around import Around
from orchestrator.swarm.control.scheduling.viewing import NodeLoad, node_status, was_here
from orchestrator.swarm.control.sites.states import SiteNews, SiteNode
from orchestrator.swarm.peering import GATES
from orchestrator.swarm.trust import LOST_AFTER
from orchestrator.swarm.view import BlobView, NodeState
from tests.swarm.control.scheduling.simulated import MB
from tests.swarm.control.scheduling.sited import NAMES, TwoSites

MODEL = (*[1000] * 30, 256 * MB, 128 * MB)


def share_of_peers(sites: TwoSites) -> float:
    nodes = [node for fleet in sites.fleets for node in fleet.alive]
    return sum(node.from_peers for node in nodes) / (len(nodes) * sites.fleets[0].listing.size)


@pytest.mark.parametrize("late", [0.0, 0.5, 5.0])
def test_two_sites_fetch_one_copy(late: float) -> None:
    sites = TwoSites(3, MODEL)
    sites.step()
    sites.fleets[0].submit()
    sites.wait(late)
    sites.fleets[1].submit()
    took = sites.run()
    assert sites.egress <= 1.05
    assert share_of_peers(sites) >= 1 - 1.05 / 6
    assert took <= 1.2 * sites.fleets[0].ideal / 2 + 5, "both lines to the origin are used"


def test_one_link_serves_all_schedulers_of_a_board() -> None:
    sites = TwoSites(4, MODEL, schedulers=2)
    sites.wait(2.0)
    for fleet in sites.fleets:
        fleet.submit()
    sites.run()
    assert sites.egress <= 1.05
    sites.wait(2.0)
    for fleet in sites.fleets:
        one, other = ({name: node.fact.site for name, node in core.state.nodes.items()} for core in fleet.cores)
        assert one == other
        assert sorted(set(one.values())) == sorted({"", *NAMES} - {fleet.cores[0].site})
    sites.part()
    sites.wait(LOST_AFTER + 3)
    for fleet in sites.fleets:
        for core in fleet.cores:
            far = [name for name, node in core.state.nodes.items() if node.fact.site]
            assert not any(was_here(core.state, name, fleet.now) for name in far), "the sign of life is gone for both"


@pytest.mark.parametrize("is_late", [False, True])
def test_the_line_between_sites_carries_a_few_copies(is_late: bool) -> None:
    sites = TwoSites(24, (*[1000] * 30, 64 * MB, 96 * MB))
    sites.step()
    sites.fleets[0].submit()
    if is_late:
        sites.run(sites.fleets[0].is_done)
    sites.fleets[1].submit()
    sites.run()
    assert sites.egress <= 1.15  # 24 nodes begin with a unit each
    for fleet in sites.fleets:
        assert sum(node.from_far for node in fleet.alive) <= GATES * fleet.listing.size
        assert sum(node.from_far > 0 for node in fleet.alive) <= GATES


def test_one_site_alone_goes_front_to_back_and_the_other_gets_all_from_it() -> None:
    sites = TwoSites(2, MODEL)
    sites.step()
    sites.fleets[0].submit()
    sites.run(sites.fleets[0].is_done)
    sites.fleets[1].submit()
    sites.run()
    assert sites.fleets[1].origin.sent <= 0.01 * sites.fleets[0].listing.size
    assert sites.egress <= 1.01


def test_parted_each_fetches_a_copy_and_healed_nothing_again() -> None:
    sites = TwoSites(2, MODEL)
    sites.step()
    for fleet in sites.fleets:
        fleet.submit()
    sites.run(lambda: sites.egress > 0.4)
    sites.part()
    sites.run(lambda: all(fleet.egress > 0.45 for fleet in sites.fleets))
    sites.wait(LOST_AFTER)
    sites.heal()
    sites.link()
    sites.wait(1.0)
    before = sites.fetched
    there = set(before)
    sites.run()
    assert {piece: count for piece, count in sites.fetched.items() if piece in there} == dict(before), "nothing again"
    assert sites.egress <= 2 * 1.05
    sites.wait(2.0)
    assert sites.agree()
    assert not any(map(sites.lacks, NAMES)), "each has seen all of the other"
    for name, other in (NAMES, NAMES[::-1]):
        assert (
            sites.core(other).abroad.seen(name, sites.sites[name].now).clocks.keys() == sites.sites[name].nodes.keys()
        )


def test_parted_to_the_end_each_side_completes_by_itself() -> None:
    sites = TwoSites(2, MODEL)
    sites.part()
    for fleet in sites.fleets:
        fleet.submit()
    sites.run()
    assert sites.egress <= 2 * 1.05
    sites.heal()
    sites.wait(2.0)
    assert sites.agree()
    assert sites.egress <= 2 * 1.05


def test_nodes_that_reach_nobody_over_there_fetch_for_themselves_before_long() -> None:
    sites = TwoSites(2, MODEL)
    sites.step()
    sites.are_near = False
    sites.fleets[0].submit()
    sites.run(sites.fleets[0].is_done)
    sites.fleets[1].submit()
    took = sites.run()
    assert sites.core(NAMES[1]).take_doubts() == {NAMES[0]}
    assert took <= 1.3 * sites.fleets[1].ideal + HUNGRY + LOST_AFTER
    assert HUNGRY < APART


def test_a_quiet_link_carries_nothing() -> None:
    sites = TwoSites(3, MODEL)
    for fleet in sites.fleets:
        fleet.submit()
    sites.run()
    sites.wait(5.0)
    before = sites.messages
    sites.wait(30.0)
    assert sites.messages == before


def test_a_node_that_is_lost_over_there_counts_no_more() -> None:
    sites = TwoSites(2, MODEL)
    sites.fleets[0].submit()
    sites.run(sites.fleets[0].is_done)
    sites.wait(1.0)
    (node, other) = sites.fleets[0].nodes.values()
    here = sites.core(NAMES[1]).state
    assert node_status(here, here.nodes[node.name], NodeLoad(), sites.fleets[0].now).state is NodeState.READY
    assert here.nodes[node.name].fact.place == NAMES[0]
    sites.fleets[0].kill(node)
    sites.wait(4.0)
    assert here.nodes[node.name].fact.state is NodeState.LOST
    sites.fleets[0].kill(other)
    sites.fleets[1].submit()
    sites.run()
    assert sites.fleets[1].egress >= 0.99, "nobody has it any more"


def test_a_site_that_is_silent_is_lost_and_its_nodes_are_known_again_at_once() -> None:
    sites = TwoSites(2, MODEL)
    sites.fleets[0].submit()
    sites.run(sites.fleets[0].is_done)
    sites.wait(1.0)
    sites.part()
    sites.wait(90.0)
    here = sites.core(NAMES[1]).state
    assert here.nodes.keys() == sites.fleets[1].nodes.keys(), "they are forgotten after a minute"
    sites.heal()
    before = sites.messages
    sites.wait(1.0)
    assert sites.messages == before, "the vector says that it was told"
    assert here.nodes.keys() == sites.fleets[0].nodes.keys() | sites.fleets[1].nodes.keys()
    sites.fleets[1].submit()
    sites.run()
    assert sites.egress <= 1.01


def test_a_node_that_moves_to_the_other_site_is_that_ones_own() -> None:
    sites = TwoSites(2, MODEL)
    for fleet in sites.fleets:
        fleet.submit()
    sites.run()
    sites.wait(1.0)
    moved = sites.fleets[0].nodes.pop("nrome0000")
    sites.core(NAMES[0]).leave(moved.name, sites.fleets[0].now)
    sites.fleets[1].nodes[moved.name] = moved
    sites.fleets[1].join(moved, 0)
    sites.fleets[1].hear(moved, Progress())
    sites.wait(10.0)
    assert [sites.core(name).state.nodes[moved.name].fact.site for name in NAMES] == [NAMES[1], ""]
    assert sites.agree()
    late = SiteNode(moved.name, moved.epoch, 2, "http://elsewhere:1")
    sites.core(NAMES[1]).abroad.take(NAMES[0], SiteNews(late), sites.fleets[0].now)
    sites.wait(1.0)
    assert sites.core(NAMES[1]).state.nodes[moved.name].fact.address == f"http://{moved.name}:1"


def test_a_node_that_starts_again_says_anew_what_it_has() -> None:
    sites = TwoSites(2, MODEL)
    sites.fleets[0].submit()
    sites.run(sites.fleets[0].is_done)
    sites.wait(1.0)
    (node, _) = sites.fleets[0].nodes.values()
    there, here = (sites.core(name).state for name in NAMES)
    seen = sites.core(NAMES[1]).abroad.seen(NAMES[0], sites.fleets[0].now)
    node.epoch, node.seq = node.epoch + 1, 0
    node.have.clear()
    node.proven.clear()
    node.hoards = "plain"  # so it fetches nothing
    sites.fleets[0].join(node, 0)
    sites.fleets[0].hear(node, Progress())
    sites.wait(1.0)
    assert not any(node.name in blob.have for state in (there, here) for blob in state.blobs.values())
    after = sites.core(NAMES[1]).abroad.seen(NAMES[0], sites.fleets[0].now)
    assert seen.compare(after) is Order.BEFORE


def test_a_site_that_breaks_the_rules_is_told_so() -> None:
    sites = TwoSites(1, MODEL)
    with pytest.raises(ProtocolError):
        sites.core(NAMES[0]).abroad.take(NAMES[1], SiteNews(SiteNode("n1", 1, 8), since=4), 0.0)
    long = replace(SiteNode("n1", 1, 8), address="x" * 10_000)
    sites.core(NAMES[0]).abroad.take(NAMES[1], SiteNews(long), sites.fleets[0].now)
    sites.fleets[0].turn()
    assert "n1" not in sites.core(NAMES[0]).state.nodes, "what others could not read is passed over"


def test_a_site_too_many_takes_the_place_of_one_that_fell_silent_minutes_ago() -> None:
    abroad = Abroad()
    for number in range(MOST_SITES):
        abroad.seen(f"s{number}", 0.0)
        abroad.heard(f"s{number}", float(number))
    with pytest.raises(ProtocolError, match="which is the most"):
        abroad.seen("late", 300.0)
    abroad.heard("s0", 300.0)
    assert abroad.seen("late", 302.0) == Vector()
    abroad.heard("late", 302.0)
    with pytest.raises(ProtocolError, match="which is the most"):
        abroad.seen("s1", 302.0)


def test_parts_of_longer_files_than_any_here_are_nothing_that_another_site_fetches() -> None:
    blob = BlobView(Digest(Algorithm.SHA256, "a" * 64), 8 * PIECE, host="hub")
    far = [(MAX_FILE - 1, MAX_FILE)] * 64
    around = Around(
        "rome", ("paris",), frozenset(("p1",)), brings={blob.digest: [*far, (0, PIECE), (7 * PIECE, MAX_FILE)]}
    )
    shown = around.shown(blob)
    assert (shown.elsewhere & 0b10000001, shown.elsewhere >> 8) == (0b10000001, 0)
