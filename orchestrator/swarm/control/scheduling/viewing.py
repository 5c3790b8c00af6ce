"""The view that a plan is made of, from the state of a fleet; and the statuses that people see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.control.messages import LEFT, NodePhase, NodeStatus, TaskReport, TaskState, TaskStatus
from orchestrator.swarm.control.scheduling.around import ALONE, Around
from orchestrator.swarm.control.scheduling.facts import NodeFact
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.control.scheduling.state import FleetState, LeaseRecord, NodeRecord, TaskRecord
from orchestrator.swarm.leasing import rest_after
from orchestrator.swarm.trust import LOST_AFTER
from orchestrator.swarm.units import Bits, Unit, piece_count
from orchestrator.swarm.view import (
    BlobView,
    BundleView,
    FleetView,
    Lease,
    NodeState,
    NodeView,
    OriginView,
    TaskView,
    Work,
)


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that some node waits for, and all nodes that are to get it."""

    name: str
    record: TaskRecord
    listing: TaskListing
    priority: int
    is_restricted: bool
    wanted: frozenset[str]

    def at(self, state: FleetState, phase: NodePhase | None) -> frozenset[str]:
        """The nodes that say that they are in this phase of it; None: that have said nothing."""
        return frozenset(node for node in self.wanted if self.record.phase(state.nodes[node].fact) is phase)


def running_tasks(state: FleetState) -> tuple[RunningTask, ...]:
    """The tasks that some node waits for."""
    found = []
    for name, task in state.tasks.items():
        if task.lock and task.listing and not task.is_cancelled:
            wanted = state.wanted(task, name)
            if not all(map(task.has_ended, wanted)):
                lock = task.lock
                found.append(RunningTask(name, task, task.listing, lock.priority, lock.is_restricted, wanted))
    return tuple(found)


def view_of(
    state: FleetState,
    tasks: Iterable[RunningTask],
    unfit: Iterable[tuple[str, str]],
    connections: int,
    now: float,
    *,
    around: Around = ALONE,
) -> FleetView:
    """The fleet as a planner sees it, with these tasks, `around` which are other sites.

    `unfit` has the names of goods and nodes where a node is to get no leases of a good: it just failed.
    `connections`: how many an origin host may have from the whole fleet.
    """
    nodes = {
        name: _node(state, record, now)
        for name, record in state.nodes.items()
        if record.fact.site not in around.unreachable
    }
    away: dict[str, set[str]] = {}
    for good, node in unfit:
        away.setdefault(good, set()).add(node)
    blobs: dict[Digest, BlobView] = {}
    bundles: list[BundleView] = []
    views: list[TaskView] = []
    hosts: set[str] = set()
    tasks = tuple(tasks)
    busy = {node for task in tasks for node in task.at(state, NodePhase.FETCHING)}
    for task in tasks:
        waiting = task.at(state, NodePhase.WAITING) | (task.at(state, None) & busy)
        hosts.update(task.listing.hosts.values())
        views.append(TaskView(task.name, task.priority, task.listing.large))
        for digest in task.listing.large:
            wanted, waits = task.wanted, waiting
            if digest in blobs:  # of another task, too: who is at one of them is at it
                before = blobs[digest]
                begun = (wanted - waits) | (before.wanted_by - before.waiting)
                wanted |= before.wanted_by
                waits = wanted - begun
            is_restricted = task.is_restricted and (digest not in blobs or blobs[digest].is_restricted)
            fit = wanted.difference(away.get(str(digest), ()))
            blob = around.shown(_blob(state, digest, task.listing, nodes))
            blobs[digest] = replace(blob, wanted_by=fit, waiting=waits, is_restricted=is_restricted)
        bundles += _bundles(state, task, task.wanted.difference(away.get(task.name, ())), waiting)
    origins = {host: OriginView(connections, state.rests.until.get(host, 0.0)) for host in hosts}
    return FleetView(nodes, blobs, tuple(bundles), tuple(views), origins)


def _node(state: FleetState, record: NodeRecord, now: float) -> NodeView:
    fact = record.fact
    return NodeView(
        id=fact.node,
        epoch=fact.epoch,
        state=_state_of(state, fact),
        beat=state.beat(record),
        zone=fact.place,
        shares_restricted=fact.shares_restricted,
        pace=state.pace(record, now),
        rests_until=record.stalled + rest_after(fact.stalls),
        peers=fact.peers,
        told=record.told,
        starves=fact.starves,
        cache=fact.cache,
        site=fact.site,
    )


def _state_of(state: FleetState, fact: NodeFact) -> NodeState:
    return NodeState.DRAINING if fact.state is NodeState.READY and state.is_draining(fact.node) else fact.state


def _blob(state: FleetState, digest: Digest, listing: TaskListing, nodes: Mapping[str, NodeView]) -> BlobView:
    record, size = state.blob(digest), listing.sizes[digest]
    count = piece_count(size)
    # Of another size than the list's is only what somebody made up.
    have: Mapping[str, Bits] = record.have
    if any(bits.count != count for bits in have.values()):
        have = {node: bits for node, bits in have.items() if bits.count == count}
    leases = tuple(
        _lease(lease, Unit(digest, lease.fact.index, lease.fact.start, lease.fact.end))
        for lease in record.leases.values()
        if lease.fact.start < lease.fact.end <= size and _counts(lease, nodes)
    )
    return BlobView(
        digest=digest,
        size=size,
        have=have,
        holders=frozenset(record.holders & have.keys()),
        leases=leases,
        accused=_accused(state, (record.accused,)),
        host=listing.hosts[digest],
    )


def _bundles(
    state: FleetState, task: RunningTask, wanted: frozenset[str], waiting: frozenset[str]
) -> Iterable[BundleView]:
    listing, record = task.listing, task.record
    accused = {digest: state.blobs[digest].accused for digest in listing.places if digest in state.blobs}
    files = {node: bits for node, bits in record.files.items() if bits.count == len(listing.places)}
    for index, bundle in enumerate(listing.bundles):
        lease = record.leases.get(index)
        yield BundleView(
            bundle=bundle,
            have={node: part for node, bits in files.items() if (part := listing.part(index, bits)).mask},
            leases=(_lease(lease, bundle),) if lease else (),
            wanted_by=wanted,
            waiting=waiting,
            accused=_accused(state, (accused[digest] for digest in bundle.digests if digest in accused)),
            host=listing.hosts[bundle.digests[0]],
            is_restricted=task.is_restricted,
        )


def _accused(state: FleetState, found: Iterable[Mapping[str, set[str]]]) -> dict[str, frozenset[str]]:
    """The nodes that are accused, and by whom."""
    by: dict[str, frozenset[str]] = {}
    for accused in found:
        for sender, accusers in accused.items():
            if sender in state.nodes:
                by[sender] = by.get(sender, frozenset()) | accusers
    return by


def _counts(lease: LeaseRecord, nodes: Mapping[str, NodeView]) -> bool:
    """True unless the node was started again since, and knows nothing of it."""
    node = nodes.get(lease.fact.node)
    return node is None or node.epoch == lease.fact.epoch


def _lease(record: LeaseRecord, work: Work) -> Lease:
    fact = record.fact
    return Lease(fact.id, work, fact.node, record.since, record.moved, record.done, record.rate)


# -- for people


def task_status(state: FleetState, name: str, task: TaskRecord, now: float) -> TaskStatus:
    """A task as it is now. A node that was lost before it said how it ended has failed, unless it comes back."""
    reports = {node: _report(state, task, node, now) for node in task.reports}
    return TaskStatus(
        id=name,
        name=task.lock.name if task.lock else "",
        state=_task_state(state, name, task, now),
        size=task.listing.size if task.listing else 0,
        egress=sum(report.from_origin for report in reports.values()),
        nodes=reports,
        is_restricted=task.lock is not None and task.lock.is_restricted,
    )


def _report(state: FleetState, task: TaskRecord, node: str, now: float) -> TaskReport:
    report = task.reports[node].report
    if task.is_cancelled or task.has_ended(node) or (node in state.nodes and was_here(state, node, now)):
        return report
    return replace(report, phase=NodePhase.FAILED, code=LEFT)


def _task_state(state: FleetState, name: str, task: TaskRecord, now: float) -> TaskState:
    if task.is_cancelled:
        return TaskState.CANCELLED
    if task.listing is None:
        return TaskState.UNLISTED
    wanted = state.wanted(task, name)
    if not wanted and not task.reports:
        return TaskState.SUBMITTED
    if any(not task.has_ended(node) and was_here(state, node, now) for node in wanted):
        return TaskState.RUNNING
    placed = (report.report.phase is NodePhase.PLACED for report in task.reports.values())
    return TaskState.DONE if all(placed) and all(map(task.has_ended, wanted)) else TaskState.PARTIAL


def was_here(state: FleetState, node: str, now: float) -> bool:
    """True for a node that lives, or that may be on its way to another scheduler."""
    record = state.nodes[node]
    return record.fact.state is not NodeState.GONE and now - state.beat(record) <= LOST_AFTER


@dataclass(slots=True)
class NodeLoad:
    """The leases of a node, the bytes per second that it brings of them, and the bytes that it has of what tasks
    list."""

    leases: int = 0
    rate: int = 0
    held: int = 0


def loads_of(state: FleetState) -> Mapping[str, NodeLoad]:
    """The loads of all nodes. Of small files a node has about as many bytes as it has files."""
    found: defaultdict[str, NodeLoad] = defaultdict(NodeLoad)
    for record in state.leases():
        load = found[record.fact.node]
        load.leases += 1
        load.rate += record.rate
    sizes: dict[Digest, int] = {}
    for task in state.tasks.values():
        if (listing := task.listing) is not None:
            sizes |= {digest: listing.sizes[digest] for digest in listing.large}
            small = sum(listing.sizes[digest] for digest in listing.places)
            for node, files in task.files.items():
                found[node].held += small * len(files) // max(1, files.count)
    for digest in sizes.keys() & state.blobs.keys():
        for node, checked in state.blobs[digest].have.items():
            found[node].held += min(sizes[digest], len(checked) * PIECE)
    return found


def node_status(state: FleetState, record: NodeRecord, load: NodeLoad, now: float) -> NodeStatus:
    """A node as it is now, with its load."""
    fact = record.fact
    is_lost = fact.state is not NodeState.GONE and not was_here(state, fact.node, now)
    return NodeStatus(
        id=fact.node,
        epoch=fact.epoch,
        seq=fact.seq,
        address=fact.address,
        state=NodeState.LOST if is_lost else _state_of(state, fact),
        zone=fact.zone,
        silent=max(0.0, now - state.beat(record)),
        leases=load.leases,
        rate=load.rate,
        held=load.held,
        site=record.fact.site,
    )
