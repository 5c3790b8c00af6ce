"""A fleet as people see it."""

import pytest

from orchestrator.cli.views.fleet import TaskScreen, print_fleet, print_task, summary
from orchestrator.documents import Outcome
from orchestrator.swarm.control.document import FleetDocument, FleetTaskDocument, failures_of
from orchestrator.swarm.control.messages import LEFT, NodePhase, NodeStatus, TaskReport, TaskState, TaskStatus
from orchestrator.swarm.view import NodeState

SENDERS = {f"n{number}": number * 1000 for number in range(1, 6)}
NODES = {
    "n1": TaskReport("t1", NodePhase.PLACED, "", 20_000, 12_000, 8_000, {"n2": 8_000}),
    "n2": TaskReport("t1", NodePhase.FAILED, "no-space", 10_000, 9_000, 15_000, SENDERS),
}
TASK = TaskStatus("t1", "org/name@main", TaskState.PARTIAL, 20_000, 21_000, NODES)


def test_a_task_is_a_line_and_a_row_for_each_node(capsys: pytest.CaptureFixture[str]) -> None:
    print_task(FleetTaskDocument.of(TASK))
    line, head, *rows = capsys.readouterr().out.splitlines()
    assert line == "t1 org/name@main: partial; 1 failed, 1 placed; 20.0 kB each; egress 1.05"
    assert head.split()[:2] == ["NODE", "PHASE"]
    assert [row.split()[0] for row in rows] == ["n1", "n2"]
    assert "failed (no-space)" in rows[1]
    assert rows[1].endswith("n5 5.00 kB, n4 4.00 kB, n3 3.00 kB, 2 more")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            TaskState.SUBMITTED,
            "submitted, and no node takes it yet (those that are there: glm-aria fleet ls)",
        ),
        (TaskState.UNLISTED, "unlisted (a node asks the root for its files)"),
        (TaskState.DONE, "done"),
    ],
)
def test_a_task_says_what_it_waits_for(state: TaskState, said: str) -> None:
    assert summary(FleetTaskDocument.of(TaskStatus("t1", "org/name", state))) == f"t1 org/name: {said}"


def test_what_a_node_had_before_is_not_in_the_egress() -> None:
    nodes = {"n1": TaskReport("t1", NodePhase.PLACED, "", 20_000, 12_000, 0)}
    task = TaskStatus("t1", "org/name", TaskState.DONE, 20_000, 12_000, nodes)
    assert summary(FleetTaskDocument.of(task)).endswith("; egress 0.60 beside what was there before")


def test_a_task_ends_as_its_nodes_do() -> None:
    def ends(state: TaskState, *codes: str) -> Outcome:
        nodes = {
            f"n{number}": TaskReport("t1", NodePhase.FAILED if code else NodePhase.PLACED, code)
            for number, code in enumerate(codes)
        }
        return Outcome.of(failures_of(TaskStatus("t1", "org/name", state, nodes=nodes)), len(nodes))

    assert ends(TaskState.DONE, "", "").exit_code == 0
    assert ends(TaskState.RUNNING, "no-space", "").exit_code == 0
    mixed = ends(TaskState.PARTIAL, "no-space", LEFT, "", "made-up")
    assert (mixed.status, mixed.exit_code) == ("partial", 3)
    assert [error.message for error in mixed.errors] == [
        "n0 failed: no-space",
        "n1 failed: it left before it had all",
        "n3 failed: made-up",
    ]
    assert ends(TaskState.PARTIAL, "no-space", "no-space").exit_code == 79
    assert ends(TaskState.PARTIAL).exit_code == 3
    assert ends(TaskState.CANCELLED, "").exit_code == 3


def test_a_screen_that_is_no_terminal_has_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    with TaskScreen(is_seen=True) as screen:
        for _ in range(3):
            screen.see(TASK)
    with TaskScreen(is_seen=False) as screen:
        screen.see(TASK)
    assert capsys.readouterr().err.count("egress 1.05") == 1


def test_a_fleet_has_its_nodes_and_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [NodeStatus("n1", 1, 2, "http://10.0.0.1:8092", NodeState.READY, "", 0.4, 3, 2_000_000, 5_000_000)]
    print_fleet(FleetDocument.of(nodes, [TASK]))
    _, row, task = capsys.readouterr().out.splitlines()
    assert row.split() == [
        "n1",
        "ready",
        "-",
        "http://10.0.0.1:8092",
        "0",
        "s",
        "ago",
        "5.00",
        "MB",
        "2.00",
        "MB/s",
        "(3",
        "leases)",
    ]
    assert task.startswith("t1 org/name@main")
    print_fleet(FleetDocument.of([]))
    assert "no node" in capsys.readouterr().err
