"""Tasks and nodes as protobuf, for who watches a fleet, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.swarm.control.codec import report, said_report
from orchestrator.swarm.control.messages import NodeStatus, TaskReport, TaskState, TaskStatus
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.view import NodeState

_NODES = 100
"""Nodes of a task in one message: each may have some senders."""
_TASK_STATES: Mapping[TaskState, pb.TaskState] = {
    TaskState.UNLISTED: pb.TASK_STATE_UNLISTED,
    TaskState.SUBMITTED: pb.TASK_STATE_SUBMITTED,
    TaskState.RUNNING: pb.TASK_STATE_RUNNING,
    TaskState.DONE: pb.TASK_STATE_DONE,
    TaskState.PARTIAL: pb.TASK_STATE_PARTIAL,
    TaskState.CANCELLED: pb.TASK_STATE_CANCELLED,
}
_NODE_STATES: Mapping[NodeState, pb.NodeState] = {
    NodeState.JOINING: pb.NODE_STATE_JOINING,
    NodeState.READY: pb.NODE_STATE_READY,
    NodeState.DRAINING: pb.NODE_STATE_DRAINING,
    NodeState.LOST: pb.NODE_STATE_LOST,
    NodeState.GONE: pb.NODE_STATE_GONE,
}
_TASK_STATE_OF = {number: state for state, number in _TASK_STATES.items()}
_NODE_STATE_OF = {number: state for state, number in _NODE_STATES.items()}


def task_parts(status: TaskStatus, reports: Mapping[str, TaskReport]) -> Iterator[pb.Task]:
    """The messages of a task, with these of its nodes; all but the nodes are in each."""
    nodes = list(reports.items())
    for start in range(0, len(nodes) or 1, _NODES):
        made = task(status)
        made.nodes.extend(_task_node(node, told) for node, told in nodes[start : start + _NODES])
        made.has_more = start + _NODES < len(nodes)
        yield made


def task(status: TaskStatus) -> pb.Task:
    """A task without its nodes."""
    return pb.Task(
        id=status.id,
        name=status.name,
        state=_TASK_STATES[status.state],
        lock_is_yours=status.is_lock_yours,
        size=status.size,
        egress=status.egress,
        is_restricted=status.is_restricted,
    )


def told_task(found: pb.Task) -> TaskStatus:
    """A task, with the nodes that this message has."""
    return TaskStatus(
        found.id,
        found.name,
        _TASK_STATE_OF.get(found.state, TaskState.RUNNING),
        found.size,
        found.egress,
        {one.node: said_report(found.id, one) for one in found.nodes},
        found.lock_is_yours,
        found.is_restricted,
    )


def node(status: NodeStatus) -> pb.Node:
    """A node."""
    return pb.Node(
        id=status.id,
        epoch=status.epoch,
        seq=status.seq,
        address=status.address,
        zone=status.zone,
        state=_NODE_STATES[status.state],
        silent=status.silent,
        leases=status.leases,
        rate=status.rate,
        held=status.held,
        site=status.site,
    )


def told_node(found: pb.Node) -> NodeStatus:
    """See `node`."""
    return NodeStatus(
        found.id,
        found.epoch,
        found.seq,
        found.address,
        _NODE_STATE_OF.get(found.state, NodeState.READY),
        found.zone,
        found.silent,
        found.leases,
        found.rate,
        found.held,
        found.site,
    )


def _task_node(name: str, told: TaskReport) -> pb.TaskNode:
    found = report(told)
    return pb.TaskNode(
        node=name,
        phase=found.phase,
        code=found.code,
        done=found.done,
        from_origin=found.from_origin,
        from_peers=found.from_peers,
        senders=told.senders,
    )
