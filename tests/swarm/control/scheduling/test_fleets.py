"""Whole fleets of simulated nodes around real cores, on both boards: who dies, who lies, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.board.interface import FleetBoard
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.board.redis import RedisBoard
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import NodePhase
from orchestrator.swarm.control.scheduling.core import _AFTER_REST, UNFIT_FOR, SchedulerCore
from orchestrator.swarm.control.scheduling.fact_codec import key_of
from orchestrator.swarm.control.scheduling.facts import CancelFact, DrainFact, RestFact
from orchestrator.swarm.control.scheduling.viewing import task_status
from orchestrator.swarm.units import unit_bytes
from tests.servers.redis import RedisServer
from tests.swarm.board.keys import KEYS
from tests.swarm.control.scheduling.simulated import MB, STEP, Fleet, SimNode

Make = Callable[[], FleetBoard]
MODEL = (384 * MB, *[100_000] * 60)


def half(fleet: Fleet) -> Callable[[], bool]:
    return lambda: fleet.origin.sent > fleet.listing.size / 2


def test_each_byte_leaves_the_origin_once(another: Make) -> None:
    fleet = Fleet(8, MODEL, boards=[another()])
    fleet.submit()
    assert fleet.run() <= 1.25 * fleet.ideal
    assert fleet.egress <= 1.001
    assert sum(node.from_peers for node in fleet.nodes.values()) >= 6.99 * fleet.listing.size


def test_two_schedulers_lease_nothing_twice(another: Make) -> None:
    fleet = Fleet(40, MODEL, boards=[another(), another()])
    fleet.submit()
    assert fleet.run() <= 1.35 * fleet.ideal
    assert max(fleet.fetched.values()) == 1
    assert {node.core for node in fleet.nodes.values() if "Assign" in node.said} == {0, 1}


@pytest.mark.parametrize("files", [40 * [8 * MB] + 60 * [50_000], 2000 * [20_000], [3 * MB] * 30, [0, 1, 4 * MB]])
def test_models_of_many_files(files: list[int]) -> None:
    fleet = Fleet(12, files)
    fleet.submit()
    fleet.run()
    assert fleet.egress <= 1.001


def test_a_node_that_dies_with_leases(another: Make) -> None:
    fleet = Fleet(8, MODEL, boards=[another(), another()])
    fleet.submit()
    fleet.run(until=lambda: half(fleet)() and any(node.leases for node in fleet.nodes.values()))
    victim = next(node for node in fleet.alive if node.leases)
    fleet.kill(victim)
    fleet.run()
    # What it had begun, and what it had checked and nobody had from it yet, is fetched once more.
    assert fleet.egress <= 1.1


def test_a_task_does_not_wait_for_who_is_lost() -> None:
    fleet = Fleet(4, MODEL)
    fleet.submit()
    fleet.run(until=half(fleet))
    fleet.kill(fleet.nodes["n0001"])
    fleet.run()
    begin = fleet.now
    state = fleet.cores[0].state
    while task_status(state, "task", state.tasks["task"], fleet.now).state == "running":
        fleet.turn()
        fleet.step()
    assert fleet.now - begin <= 10
    assert task_status(state, "task", state.tasks["task"], fleet.now).state == "partial"


def test_what_only_the_dead_had_is_fetched_again() -> None:
    fleet = Fleet(3, [64 * MB], nic=1)  # nothing goes from node to node
    for node in fleet.nodes.values():
        node.rate = 20 * MB
    for node in fleet.alive[1:]:
        node.peers = ()
    fleet.submit()
    (digest,) = fleet.listing.large
    first = fleet.alive[0]
    fleet.run(until=lambda: first.have.get(digest, 0).bit_count() >= 2)
    fleet.kill(first)
    fleet.run()
    lost = first.have[digest].bit_count() * PIECE
    assert fleet.origin.sent <= 64 * MB + lost + unit_bytes(64 * MB) * 8


def test_a_scheduler_that_dies_costs_nothing(another: Make) -> None:
    fleet = Fleet(12, MODEL, boards=[another(), another()])
    fleet.submit()
    fleet.run(until=half(fleet))
    leases = {node.name: set(node.leases) for node in fleet.alive if node.core == 0 and node.leases}
    fleet.kill_core(0, 1)
    fleet.turn()
    for name, mine in leases.items():
        assert mine <= set(fleet.nodes[name].leases)
    fleet.run()
    assert max(fleet.fetched.values()) == 1
    assert fleet.egress <= 1.001


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_board_that_loses_everything(kind: str, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        memory = MemoryBoard()
        boards: list[FleetBoard] = (
            [memory, memory.beside()] if kind == "memory" else [RedisBoard(server.url, "f", KEYS) for _ in range(2)]
        )
        fleet = Fleet(12, MODEL, boards=boards)
        fleet.submit()
        fleet.run(until=half(fleet))
        memory.lose_all()
        server.client.flushall()
        for _ in range(3):
            fleet.turn()
            fleet.step()
        late = SchedulerCore("late")
        late.settle((), boards[0].exchange((), None), fleet.now)
        assert late.state.tasks["task"].lock is not None
        assert len(late.state.nodes) == 12
        assert late.state.blobs.keys() >= set(fleet.listing.large)
        fleet.run()
        assert fleet.egress <= 1.001
        for board in boards:
            board.close()


def test_a_redis_that_is_away_for_a_while(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        fleet = Fleet(12, MODEL, boards=[RedisBoard(server.url, "f", KEYS), RedisBoard(server.url, "f", KEYS)])
        fleet.submit()
        fleet.run(until=half(fleet))
        server.kill()
        before = sum(node.from_peers for node in fleet.nodes.values())
        for _ in range(20):
            fleet.turn()
            fleet.step()
        assert sum(node.from_peers for node in fleet.nodes.values()) >= before
        server.start()
        fleet.run()
        assert fleet.egress <= 1.1
        for board in fleet.boards:
            board.close()


def test_all_schedulers_and_the_board_are_lost() -> None:
    fleet = Fleet(12, MODEL)
    fleet.submit()
    fleet.run(until=half(fleet))
    fleet.boards, fleet.cores = [MemoryBoard()], [SchedulerCore("new")]
    for node in fleet.nodes.values():
        node.seq = 0
        fleet.join(node, 0)
    fleet.turn()
    fleet.submit()
    fleet.run()
    assert fleet.egress <= 1.2


def test_who_alters_bytes_is_asked_by_nobody_and_gets_no_leases(another: Make) -> None:
    fleet = Fleet(8, MODEL, boards=[another(), another()])
    liar = fleet.nodes["n0003"]
    liar.alters = True
    fleet.submit()
    honest = [node for node in fleet.nodes.values() if node is not liar]
    fleet.run(until=lambda: all(node.is_placed for node in honest))
    assert all(liar.name in node.shunned for node in honest if node.said.count("Shunned"))
    assert any(liar.name in node.shunned for node in honest)
    # All that it had fetched until then had to be fetched again.
    assert fleet.egress <= 1.3


def test_who_comes_late_has_it_from_the_others(another: Make) -> None:
    fleet = Fleet(6, MODEL, boards=[another()])
    fleet.submit()
    fleet.run()
    sent = fleet.origin.sent
    late = SimNode("n9999", 100 * MB)
    fleet.nodes[late.name] = late
    fleet.join(late, 0)
    assert fleet.run() <= 5 + 1.2 * fleet.listing.size / late.rate
    assert fleet.origin.sent == sent


def test_a_node_that_begins_anew_says_again_what_it_has() -> None:
    fleet = Fleet(4, MODEL)
    fleet.submit()
    fleet.run(until=half(fleet))
    again = fleet.nodes["n0001"]
    (digest,) = fleet.listing.large
    again.epoch, again.seq = 2, 0
    again.leases.clear()
    again.have.clear()
    again.proven.clear()
    fleet.join(again, 0)
    assert "n0001" not in fleet.cores[0].state.blobs[digest].have
    fleet.run()
    assert fleet.egress <= 1.3


def test_a_node_whose_disk_is_full_gives_its_leases_back() -> None:
    fleet = Fleet(4, MODEL)
    fleet.submit()
    full = fleet.nodes["n0002"]
    fleet.run(until=lambda: bool(full.leases))
    fleet.hear(full, messages.TaskReport("task", NodePhase.FAILED, code="no-space"))
    fleet.turn()
    assert not full.leases
    full.is_placed = True
    fleet.run()
    status = task_status(fleet.cores[0].state, "task", fleet.cores[0].state.tasks["task"], fleet.now)
    assert status.state == "partial"
    assert status.nodes["n0002"].code == "no-space"


def test_a_node_that_failed_tries_again_when_it_is_started_again() -> None:
    fleet = Fleet(3, MODEL)
    fleet.submit()
    one = fleet.nodes["n0001"]
    fleet.run(until=lambda: bool(one.task))
    fleet.hear(one, messages.TaskReport("task", NodePhase.FAILED, code="no-space"))
    fleet.run(until=half(fleet))
    one.epoch, one.seq, one.task = 2, 0, ""
    fleet.join(one, 0)
    fleet.run()
    assert one.is_placed
    state = fleet.cores[0].state
    fleet.turn()
    assert task_status(state, "task", state.tasks["task"], fleet.now).state == "done"


def test_a_lease_that_brings_nothing_goes_to_another_node() -> None:
    fleet = Fleet(4, [64 * MB])
    stuck = fleet.nodes["n0001"]
    fleet.submit()
    fleet.run(until=lambda: bool(stuck.leases))
    stuck.rate = 0
    fleet.run(until=lambda: all(node.is_placed for node in fleet.alive if node is not stuck), most=30)
    assert "RevokedLease" in stuck.said


def test_an_origin_that_is_asked_too_much_is_left_alone_by_all_until_it_said(another: Make) -> None:
    fleet = Fleet(6, MODEL, boards=[another(), another()])
    fleet.submit()
    fleet.run(until=half(fleet))
    (host,) = set(fleet.listing.hosts.values())
    rate, fleet.origin.rate = fleet.origin.rate, 0
    fleet.hear(fleet.nodes["n0001"], messages.OriginBusy(host, 20))
    fleet.turn()
    fleet.turn()
    under_way, until = {lease for node in fleet.alive for lease in node.leases}, fleet.now + 19
    while fleet.now < until:
        assert under_way.issuperset(lease for node in fleet.alive for lease in node.leases)
        fleet.turn()
        fleet.step()
    fleet.origin.rate = rate
    fleet.run(most=2 * fleet.ideal)
    assert fleet.egress == pytest.approx(1, rel=1e-4)
    for core in fleet.cores:
        assert not any(record.fact.stalls for record in core.state.nodes.values())


def test_one_node_that_says_again_and_again_that_an_origin_is_busy_keeps_it_from_nobody_for_long(another: Make) -> None:
    fleet = Fleet(4, [2000 * MB], boards=[another(), another()])
    liar = fleet.nodes["n0001"]
    fleet.submit()
    fleet.run(until=lambda: bool(liar.leases))
    (host,) = set(fleet.listing.hosts.values())
    told = fleet.now

    def lied() -> bool:
        fleet.hear(liar, messages.OriginBusy(host, 2**32 - 1))
        return fleet.now >= told + 118

    fleet.run(until=lied, most=130)
    assert all(until <= told + 61 for core in fleet.cores for until in core.state.rests.until.values())
    fleet.run()
    assert fleet.egress <= 1.05


def test_that_an_origin_was_left_alone_is_forgotten_later() -> None:
    fleet = Fleet(2, [64 * MB])
    fleet.submit()
    fleet.run()
    (host,), (core,) = set(fleet.listing.hosts.values()), fleet.cores
    fleet.hear(fleet.nodes["n0001"], messages.OriginBusy(host, 5))
    fleet.turn()
    assert key_of(RestFact(host, 5)) in core.agreement.known
    fleet.now += 5 + _AFTER_REST + 1
    fleet.turn()
    assert key_of(RestFact(host, 5)) not in core.agreement.known
    assert not core.state.rests.until


@pytest.mark.parametrize("kind", ["plain", "says"])
@pytest.mark.parametrize("nodes", [2, 6])
def test_who_keeps_its_leases_and_fetches_nothing_holds_nobody_up(another: Make, kind: str, nodes: int) -> None:
    fleet = Fleet(nodes, [400 * MB], boards=[another(), another()])
    hoarder = fleet.nodes["n0000"]
    hoarder.hoards = kind
    fleet.submit()
    took = fleet.run(lambda: all(node.is_placed for node in fleet.alive if node is not hoarder))
    # It is found out after five seconds, and again after rests of 10, 20, 40 … seconds.
    assert took < fleet.ideal + 15
    assert fleet.egress <= 1.1
    assert hoarder.said.count("Assign") <= 8 + 3


def test_who_is_alone_is_given_its_leases_again_however_often_it_stalls() -> None:
    fleet = Fleet(1, [40 * MB])
    (node,) = fleet.nodes.values()
    node.hoards = "plain"
    fleet.submit()
    fleet.run(lambda: node.said.count("RevokedLease") >= 4, most=60)
    node.hoards = ""
    assert fleet.run() < fleet.ideal + 5
    assert fleet.cores[0].state.nodes[node.name].fact.stalls == 0


def test_who_cannot_fetch_something_gets_no_more_of_it_for_a_while() -> None:
    fleet = Fleet(2, [256 * MB])
    fleet.submit()
    one = fleet.nodes["n0000"]
    fleet.run(until=lambda: bool(one.leases))
    for id_ in tuple(one.leases):
        fleet.hear(one, messages.FailedWork(id_, "not-found"))
        one.leases.pop(id_)
    begin = fleet.now
    fleet.turn()
    while fleet.now - begin < UNFIT_FOR - STEP:
        assert not one.leases
        fleet.step()
        fleet.turn()


def test_a_node_that_drains_leaves_when_others_have_what_it_has(another: Make) -> None:
    fleet = Fleet(5, MODEL, boards=[another(), another()])
    fleet.submit()
    fleet.run(until=half(fleet))
    leaver = next(node for node in fleet.alive if node.core == 1)
    fleet.cores[0].say(DrainFact(leaver.name, leaver.epoch), fleet.now)
    fleet.run(until=lambda: leaver.may_leave)
    assigned = leaver.said.count("Assign")
    fleet.hear(leaver, messages.Bye())
    leaver.is_alive = False
    sent = fleet.origin.sent
    fleet.run()
    assert leaver.said.count("Assign") == assigned
    assert leaver.name not in fleet.cores[0].state.nodes
    assert fleet.origin.sent - sent <= fleet.listing.size / 2
    assert max(fleet.fetched.values()) == 1


def test_a_cancelled_task_ends_everywhere(another: Make) -> None:
    fleet = Fleet(4, MODEL, boards=[another(), another()])
    fleet.submit()
    fleet.run(until=half(fleet))
    fleet.cores[1].say(CancelFact("task"), fleet.now)
    fleet.turn()
    fleet.turn()
    assert all("TaskCancelled" in node.said for node in fleet.alive)
    assert not any(node.leases for node in fleet.alive)


def test_a_redis_sees_a_few_commands_a_turn_however_many_nodes(server: RedisServer, fleet: str) -> None:
    found = []
    for nodes in (20, 200):
        board = RedisBoard(server.url, f"{fleet}{nodes}", KEYS)
        simulated = Fleet(nodes, [192 * MB], boards=[board])
        simulated.submit()
        before = server.client.info("stats")["total_commands_processed"]
        seconds = simulated.run()
        found.append((server.client.info("stats")["total_commands_processed"] - before) / seconds)
        assert simulated.egress <= 1.001
        board.close()
    few, many = found
    # 4 turns a second; each has two commands of ours, and 15 of the script.
    assert many <= 100
    assert many <= 1.5 * few
