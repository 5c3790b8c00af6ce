"""A core and single nodes: connections that come and go, and words that are too much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import ProtocolError, TemporaryError
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import Hello, NodePhase, Progress, TaskReport
from orchestrator.swarm.control.scheduling.core import BROKEN_AFTER, SchedulerCore
from orchestrator.swarm.control.scheduling.facts import DrainFact, LockFact
from orchestrator.swarm.control.scheduling.viewing import loads_of, running_tasks, view_of
from orchestrator.swarm.holdings import MOST_ACCUSED
from orchestrator.swarm.trust import LOST_AFTER, trusted_nodes
from orchestrator.swarm.view import NodeState
from tests.swarm.control.scheduling.simulated import MB, Fleet, lock_of

HELLO = Hello("n0000", 1, "http://n0000:1", takes_tasks=True)


def state_of(fleet: Fleet, core: int = 0) -> NodeState:
    return fleet.cores[core].state.nodes["n0000"].fact.state


def wait(fleet: Fleet, seconds: float) -> None:
    """Let time pass in which no node says anything."""
    end = fleet.now + seconds
    while fleet.now < end:
        fleet.turn()
        fleet.now += 0.25


def test_a_node_is_joining_until_it_says_what_it_has() -> None:
    fleet = Fleet(1, [8 * MB])
    assert state_of(fleet) is NodeState.JOINING
    fleet.hear(fleet.nodes["n0000"], Progress())
    assert state_of(fleet) is NodeState.READY


def test_a_broken_connection_counts_after_two_seconds_and_a_new_one_at_once() -> None:
    fleet = Fleet(1, [8 * MB])
    (node,) = fleet.nodes.values()
    fleet.hear(node, Progress())
    fleet.cores[0].leave(node.name, fleet.now)
    wait(fleet, BROKEN_AFTER - 0.25)
    assert state_of(fleet) is NodeState.READY
    wait(fleet, 0.5)
    assert state_of(fleet) is NodeState.LOST
    fleet.join(node, 0)
    fleet.hear(node, Progress())
    assert state_of(fleet) is NodeState.READY


def test_who_comes_back_within_two_seconds_keeps_its_leases() -> None:
    fleet = Fleet(2, [64 * MB])
    fleet.submit()
    fleet.run(until=lambda: all(node.leases for node in fleet.alive))
    node = fleet.nodes["n0000"]
    before = dict(node.leases)
    fleet.cores[0].leave(node.name, fleet.now)
    wait(fleet, 1)
    fleet.join(node, 0)
    wait(fleet, 3)
    assert node.leases.keys() >= before.keys()
    assert "RevokedLease" not in node.said


def test_who_says_nothing_is_lost_and_its_leases_are_free() -> None:
    fleet = Fleet(2, [64 * MB])
    fleet.submit()
    fleet.run(until=lambda: all(node.leases for node in fleet.alive))
    wait(fleet, LOST_AFTER + 1)
    assert state_of(fleet) is NodeState.LOST
    assert not any(record.fact.node for record in fleet.cores[0].state.leases())


def test_a_lost_node_is_forgotten_after_a_minute() -> None:
    fleet = Fleet(2, [8 * MB])
    fleet.kill(fleet.nodes["n0000"])
    for _ in range(70):
        fleet.hear(fleet.nodes["n0001"], Progress())
        wait(fleet, 1)
    assert list(fleet.cores[0].state.nodes) == ["n0001"]


def test_what_was_heard_before_counts_once() -> None:
    fleet = Fleet(1, [8 * MB])
    core = fleet.cores[0]
    core.hear("n0000", 1, 5, messages.Join("t1"), fleet.now)
    core.hear("n0000", 1, 5, messages.Join("t2"), fleet.now)
    core.hear("n0000", 1, 4, messages.Join("t3"), fleet.now)
    core.hear("n0000", 2, 9, messages.Join("t4"), fleet.now)
    assert core.state.nodes["n0000"].fact.joined == ("t1",)
    assert core.connect(HELLO, fleet.nodes["n0000"].told, fleet.now).seen == 5


def test_another_scheduler_knows_what_was_heard() -> None:
    fleet = Fleet(1, [8 * MB], boards=[board := MemoryBoard(), board.beside()])
    fleet.cores[0].hear("n0000", 1, 5, Progress(), fleet.now)
    fleet.turn()
    assert fleet.cores[1].connect(HELLO, fleet.nodes["n0000"].told, fleet.now).seen == 5
    fleet.turn()
    fleet.turn()
    assert fleet.cores[0].state.nodes["n0000"].fact.scheduler == fleet.cores[1].name


def test_a_node_with_the_name_of_a_later_one_is_refused() -> None:
    fleet = Fleet(1, [8 * MB])
    fleet.cores[0].connect(replace(HELLO, epoch=3), fleet.nodes["n0000"].told, fleet.now)
    with pytest.raises(TemporaryError):
        fleet.cores[0].connect(replace(HELLO, epoch=2), fleet.nodes["n0000"].told, fleet.now)


@pytest.mark.parametrize(
    "hello",
    [
        replace(HELLO, node="a b"),
        replace(HELLO, node="n" * 65),
        replace(HELLO, address="x" * 513),
        replace(HELLO, zone="z" * 513),
        replace(HELLO, epoch=2**64 - 1),
    ],
    ids=range(5),
)
def test_first_words_that_nobody_could_read(hello: Hello) -> None:
    with pytest.raises(ProtocolError):
        Fleet(1, [8 * MB]).cores[0].connect(hello, lambda _: None, 0)


def test_words_without_measure_change_nothing() -> None:
    fleet = Fleet(1, [64 * MB], rate=2 * MB)
    fleet.submit()
    fleet.run(until=lambda: bool(fleet.nodes["n0000"].leases))
    (lease, *_) = fleet.nodes["n0000"].leases
    node, (digest,) = fleet.nodes["n0000"], fleet.listing.large
    stranger = Digest(Algorithm.SHA256, "0" * 64)
    huge = 2**64 - 1
    words: list[messages.FromNode] = [
        messages.WrongPiece(digest, 0, "x" * 600),
        messages.WrongPiece(stranger, huge, "n0000"),
        messages.Join("../" * 300),
        TaskReport("unknown", NodePhase.PLACED),
        TaskReport("task", NodePhase.FETCHING, code="c" * 600, done=huge),
        Progress((messages.BlobProgress(digest, b"\xff" * 99), messages.BlobProgress(stranger, b"\x01", True))),
        Progress((), tuple(messages.LeaseProgress(f"x{index}", huge, huge) for index in range(100))),
        Progress((), (messages.LeaseProgress(lease, huge, huge),)),
        messages.HeldUnit("no-lease"),
        messages.FailedWork("no-lease", "c" * 9999),
    ]
    for said in words:
        fleet.hear(node, said)
        fleet.turn()
    core = fleet.cores[0]
    assert set(core.state.tasks) == {"task"}
    assert set(core.state.blobs) <= {digest}
    assert not core.state.blobs[digest].accused
    assert not core.state.tasks["task"].reports
    core.hear(node.name, 1, 2**64, Progress(), fleet.now)
    assert core.state.nodes["n0000"].fact.seq < 2**63


def test_who_accuses_everybody_fills_no_board() -> None:
    fleet = Fleet(1, [64 * MB])
    fleet.submit()
    fleet.turn()
    (digest,) = fleet.listing.large
    for number in range(MOST_ACCUSED + 50):
        fleet.hear(fleet.nodes["n0000"], messages.WrongPiece(digest, 0, f"x{number}"))
    fleet.turn()
    assert len(fleet.cores[0].state.blobs[digest].accused) == MOST_ACCUSED


def test_those_of_whom_only_an_old_board_tells_are_gone() -> None:
    fleet = Fleet(4, [32 * MB])
    fleet.submit()
    fleet.run()
    late = SchedulerCore("late")
    answer = fleet.boards[0].exchange((), None)
    for is_quiet in (False, True):
        late = SchedulerCore("late")
        late.settle((), replace(answer, is_quiet=is_quiet), fleet.now)
        late.propose(fleet.now)
        view = view_of(late.state, running_tasks(late.state), (), 32, fleet.now)
        assert bool(trusted_nodes(view, fleet.now)) is not is_quiet


def test_schedulers_that_are_gone_are_taken_off_the_board() -> None:
    board = MemoryBoard()
    fleet = Fleet(2, [8 * MB], boards=[board, board.beside()])
    wait(fleet, 2)
    fleet.kill_core(0, 1)
    wait(fleet, LOST_AFTER + 2)
    names = {put.name for put in board.exchange((), None).news if put.name.startswith("scheduler:")}
    assert names == {f"scheduler:{fleet.cores[1].name}"}


def test_a_node_that_others_took_for_lost_is_there_again_when_it_speaks() -> None:
    board = MemoryBoard()
    fleet = Fleet(1, [8 * MB], boards=[board, board.beside()])
    node = fleet.nodes["n0000"]
    fleet.hear(node, Progress())
    wait(fleet, 1)
    fleet.cores[0].leave(node.name, fleet.now)
    fleet.cores[1].agreement.remove(("fleet", "node:n0000"))
    wait(fleet, 0.5)
    assert not fleet.cores[0].state.nodes
    fleet.hear(node, Progress())
    wait(fleet, 0.5)
    assert fleet.cores[1].state.nodes["n0000"].fact.state is NodeState.READY


def test_a_node_that_was_slow_for_a_while_is_not_slow_for_ever() -> None:
    fleet = Fleet(3, [256 * MB])
    fleet.submit()
    slow = fleet.nodes["n0000"]
    fleet.run(until=lambda: bool(slow.leases))
    lease = next(iter(slow.leases))
    fleet.hear(slow, Progress())
    fleet.now += 1
    fleet.hear(slow, Progress((), (messages.LeaseProgress(lease, 1000, 1000),)))
    assert fleet.cores[0].state.nodes[slow.name].fact.pace == 1000
    state = fleet.cores[0].state
    assert state.pace(state.nodes[slow.name], fleet.now + 59) == 1000
    assert state.pace(state.nodes[slow.name], fleet.now + 60) == 0
    fleet.now += 60
    fleet.hear(slow, Progress())
    fleet.now += 1
    fleet.hear(slow, Progress((), (messages.LeaseProgress(lease, 3_001_000, 3_000_000),)))
    assert state.nodes[slow.name].fact.pace == 3_000_000


def test_a_node_is_as_quick_as_the_leases_that_it_was_through_with_between_two_reports() -> None:
    fleet = Fleet(2, [256 * MB])
    fleet.submit()
    quick = fleet.nodes["n0000"]
    fleet.run(until=lambda: bool(quick.leases))
    state = fleet.cores[0].state
    (lease,) = quick.leases
    record = state.lease(lease)
    assert record is not None
    size = record.fact.end - record.fact.start
    fleet.hear(quick, Progress())
    fleet.now += 0.2
    fleet.hear(quick, messages.HeldUnit(lease))
    assert state.nodes[quick.name].fact.pace == 0
    fleet.now += 0.3
    fleet.hear(quick, Progress())
    assert state.nodes[quick.name].fact.pace == 2 * size
    fleet.now += 1
    fleet.hear(quick, Progress())
    assert state.nodes[quick.name].fact.pace == 2 * size


def test_a_lease_goes_no_faster_than_its_bytes_come_whatever_its_node_says() -> None:
    fleet = Fleet(2, [256 * MB])
    fleet.submit()
    boaster = fleet.nodes["n0000"]
    fleet.run(until=lambda: bool(boaster.leases))
    lease = next(iter(boaster.leases))
    state = fleet.cores[0].state
    for done in (1, 2, 3):
        fleet.now += 1
        fleet.hear(boaster, Progress((), (messages.LeaseProgress(lease, done, 10**9),)))
        assert state.nodes[boaster.name].fact.pace <= 2
    fleet.now += 1
    fleet.hear(boaster, Progress((), (messages.LeaseProgress(lease, 2**62, 10**18),)))
    record = state.lease(lease)
    assert record is not None
    assert record.done == boaster.leases[lease].end - boaster.leases[lease].start
    assert record.rate <= 2 * record.done
    fleet.hear(boaster, Progress((), (messages.LeaseProgress(lease, 1, 0),)))
    assert record.done > 1


def test_who_is_at_another_task_gets_leases_once_it_begins() -> None:
    fleet = Fleet(2, [256 * MB])
    busy, free = fleet.nodes.values()
    other = LockFact("other", "name", "n*", 0, is_restricted=False, lock=lock_of([8 * MB + 1]))
    fleet.cores[0].agreement.wish(other)
    fleet.hear(busy, Progress())
    fleet.hear(free, Progress())
    wait(fleet, 0.5)
    fleet.hear(busy, TaskReport("other", NodePhase.FETCHING))
    fleet.hear(free, TaskReport("other", NodePhase.PLACED))
    wait(fleet, 0.5)
    fleet.hear(busy, Progress((), tuple(messages.LeaseProgress(lease, 1, 50 * MB) for lease in busy.leases)))
    fleet.submit()
    wait(fleet, 1)
    assert free.leases
    assert not any(lease.digest in fleet.listing.large for lease in busy.leases.values())
    fleet.hear(busy, TaskReport("task", NodePhase.WAITING))
    wait(fleet, 1)
    assert not any(lease.digest in fleet.listing.large for lease in busy.leases.values())
    fleet.hear(busy, TaskReport("other", NodePhase.PLACED))
    fleet.hear(busy, TaskReport("task", NodePhase.FETCHING))
    wait(fleet, 1)
    assert any(lease.digest in fleet.listing.large for lease in busy.leases.values())


def test_who_is_to_leave_ends_its_tasks_and_begins_with_no_other() -> None:
    fleet = Fleet(2, [8 * MB])
    leaver = fleet.nodes["n0000"]
    fleet.submit()
    fleet.run(until=lambda: bool(leaver.task))
    for node in fleet.alive:
        fleet.hear(node, TaskReport("task", NodePhase.FETCHING))
    fleet.cores[0].say(DrainFact(leaver.name, 1), fleet.now)
    fleet.cores[0].agreement.wish(LockFact("later", "name", "n*", 0, is_restricted=False, lock=lock_of([8 * MB + 1])))
    leaver.said.clear()
    wait(fleet, 1)
    assert "DrainOrder" in leaver.said
    assert "TaskLock" not in leaver.said
    whole = tuple(messages.BlobProgress(digest, b"", is_whole=True) for digest in fleet.listing.sizes)
    for node in fleet.alive:
        fleet.hear(node, Progress(whole))
    wait(fleet, 1)
    assert not leaver.may_leave
    fleet.hear(leaver, TaskReport("task", NodePhase.PLACED))
    wait(fleet, 1)
    assert leaver.may_leave


def test_the_load_of_a_node_is_what_it_has_and_fetches() -> None:
    fleet = Fleet(2, [64 * MB, 1 * MB])
    fleet.submit()
    state = fleet.cores[0].state
    fleet.run(until=lambda: any(load.rate for load in loads_of(state).values()))
    assert sum(load.leases for load in loads_of(state).values()) == len(tuple(state.leases()))
    fleet.run()
    assert {name: (load.leases, load.held) for name, load in loads_of(state).items()} == dict.fromkeys(
        fleet.nodes, (0, 65 * MB)
    )


def test_nothing_stays_of_a_node_that_left() -> None:
    board = MemoryBoard()
    fleet = Fleet(2, [8 * MB, 1 * MB], boards=[board, board.beside()])
    fleet.submit()
    leaver = fleet.nodes["n0000"]
    fleet.run()
    fleet.cores[0].say(DrainFact(leaver.name, 1), fleet.now)
    wait(fleet, 1)
    assert leaver.may_leave
    fleet.hear(leaver, messages.Bye())
    wait(fleet, 2)
    left = {(put.shelf, put.name) for put in board.exchange((), None).news if leaver.name in put.name}
    assert left == {("task:task", f"report:{leaver.name}")}
    for core in fleet.cores:
        assert leaver.name not in core.state.nodes
        assert not core.state.is_draining(leaver.name)
        assert {name for _, name in core.agreement.known if leaver.name in name} == {f"report:{leaver.name}"}


def test_a_task_that_is_forgotten_takes_its_leases_along() -> None:
    fleet = Fleet(2, [64 * MB, 100_000])
    fleet.submit()
    fleet.run(until=lambda: all(node.leases for node in fleet.alive))
    (core,) = fleet.cores
    leased = [record.fact.id for record in core.state.leases()]
    core.forget_task("task")
    assert leased
    assert not core.state.leases()
    assert all(core.state.lease(id_) is None for id_ in leased)
