"""Tasks and nodes of a fleet, as the data of the JSON documents of `fleet` and `scheduler`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator.core.text import redacted
from orchestrator.documents import Amount, Count
from orchestrator.errors import GlmAriaError, Interrupted, PartialError, error_classes
from orchestrator.swarm.control.messages import LEFT, NodePhase, NodeStatus, TaskReport, TaskState, TaskStatus


@dataclass(frozen=True, slots=True)
class TaskNodeEntry:
    """A node in a task. `done` bytes are there; `senders` has the bytes of each peer, `error` a code."""

    node: str
    phase: str
    error: str | None
    done: Count
    from_origin: Count
    from_peers: Count
    senders: Mapping[str, Count]

    @classmethod
    def of(cls, node: str, report: TaskReport) -> Self:
        """The entry of a node's report."""
        return cls(
            redacted(node),
            report.phase,
            redacted(report.code) or None,
            report.done,
            report.from_origin,
            report.from_peers,
            {redacted(sender): count for sender, count in report.senders.items()},
        )


@dataclass(frozen=True, slots=True)
class FleetTaskDocument:
    """A task. `size` and `egress` are bytes, the latter those that came from outside of the fleet; `ratio` is egress by
    size."""

    id: str
    name: str
    state: str
    size: Count
    egress: Count
    ratio: Amount | None
    nodes: tuple[TaskNodeEntry, ...]

    @classmethod
    def of(cls, status: TaskStatus) -> Self:
        """The document of a task."""
        nodes = tuple(TaskNodeEntry.of(node, status.nodes[node]) for node in sorted(status.nodes))
        ratio = status.egress / status.size if status.size else None
        return cls(status.id, redacted(status.name), status.state, status.size, status.egress, ratio, nodes)


def failures_of(task: TaskStatus) -> tuple[GlmAriaError, ...]:
    """Errors of a task that has ended: one for each node that failed, by its code, or that it was cancelled."""
    if task.state is TaskState.CANCELLED:
        return (PartialError(f"the task {task.id} was cancelled", hint=_AGAIN),)
    if task.state is not TaskState.PARTIAL:
        return ()
    failed = {node: told.code for node, told in sorted(task.nodes.items()) if told.phase is NodePhase.FAILED}
    return tuple(_failure(node, code) for node, code in failed.items()) or (
        PartialError(f"some nodes left the task {task.id} before they had anything of it", hint=_AGAIN),
    )


def _failure(node: str, code: str) -> GlmAriaError:
    known = {kind.code: kind for kind in error_classes() if kind is not Interrupted}
    words = "it left before it had all" if code == LEFT else code or "it does not say why"
    return known.get(code, PartialError)(f"{node} failed: {words}", hint=_AGAIN)


_AGAIN = "submit it again for another attempt; what the nodes have of it stays with them"


@dataclass(frozen=True, slots=True)
class FleetNodeEntry:
    """A node. `silent` is how many seconds ago it gave a sign of life. It fetches `leases` for all, with `rate` bytes
    per second, and has `held` bytes of what the tasks list. `site`: where it is connected, as far as sites have
    names."""

    id: str
    address: str
    site: str
    zone: str
    state: str
    silent: Amount
    leases: Count
    rate: Count
    held: Count

    @classmethod
    def of(cls, status: NodeStatus) -> Self:
        """The entry of a node."""
        return cls(
            redacted(status.id),
            redacted(status.address),
            redacted(status.site),
            redacted(status.zone),
            status.state,
            round(status.silent, 1),
            status.leases,
            status.rate,
            status.held,
        )


@dataclass(frozen=True, slots=True)
class FleetDocument:
    """The nodes of a fleet, and its tasks."""

    nodes: tuple[FleetNodeEntry, ...]
    tasks: tuple[FleetTaskDocument, ...]

    @classmethod
    def of(cls, nodes: Iterable[NodeStatus], tasks: Iterable[TaskStatus] = ()) -> Self:
        """The document of these."""
        return cls(tuple(map(FleetNodeEntry.of, nodes)), tuple(map(FleetTaskDocument.of, tasks)))


@dataclass(frozen=True, slots=True)
class NodeDocument:
    """A node that has ended: its name, and how many tasks it did."""

    node: str
    tasks: Count


@dataclass(frozen=True, slots=True)
class SchedulerDocument:
    """A scheduler that has ended: where it listened, and how many tasks it knew."""

    address: str
    tasks: Count
