"""The state of a fleet: all facts that a scheduler has heard of, and when. No I/O, and no clock of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from orchestrator.core.files import Digest
from orchestrator.errors import GlmAriaError
from orchestrator.swarm.control.messages import NodePhase
from orchestrator.swarm.control.scheduling.facts import (
    AccusationFact,
    CancelFact,
    ClaimFact,
    DrainFact,
    Fact,
    FilesFact,
    HaveFact,
    LeaseFact,
    LockFact,
    NodeFact,
    ReportFact,
    RestFact,
    SchedulerFact,
)
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.control.scheduling.rests import OriginQuiet
from orchestrator.swarm.units import Bits
from orchestrator.swarm.view import Bundle, NodeState

_MINUTE = 60.0
ENDS = (NodePhase.PLACED, NodePhase.FAILED)
"""The phases in which a node is through with a task."""


@dataclass(slots=True)
class NodeRecord:
    """A node, when it was last heard of, when its peers last changed, when it last brought bytes of leases, and when it
    last lost some by stalling. `brought`: the bytes that were still to come of leases that ended since it reported
    last, at `counted`."""

    fact: NodeFact
    beat: float
    told: float = 0.0
    paced: float = 0.0
    stalled: float = 0.0
    brought: int = 0
    counted: float = 0.0

    def count(self, now: float) -> None:
        """Begin to count the bytes of leases from zero."""
        self.brought = 0
        self.counted = now


@dataclass(slots=True)
class LeaseRecord:
    """A lease, since when, when it last brought bytes, how many, and how fast."""

    fact: LeaseFact
    since: float
    moved: float
    done: int = 0
    rate: int = 0


@dataclass(slots=True)
class BlobRecord:
    """Facts of a blob; `accused` has for each sender who accuses it."""

    have: dict[str, Bits] = field(default_factory=dict)
    holders: set[str] = field(default_factory=set)
    leases: dict[int, LeaseRecord] = field(default_factory=dict)
    accused: dict[str, set[str]] = field(default_factory=dict)


@dataclass(slots=True)
class TaskRecord:
    """Facts of a task; `claimed` is who makes its lock file, and since when."""

    lock: LockFact | None = None
    listing: TaskListing | None = None
    claimed: tuple[str, float] = ("", 0.0)
    is_cancelled: bool = False
    files: dict[str, Bits] = field(default_factory=dict)
    reports: dict[str, ReportFact] = field(default_factory=dict)
    leases: dict[int, LeaseRecord] = field(default_factory=dict)

    def bundle(self, index: int) -> Bundle | None:
        """The small files that a lease of this number is of; None where its lock file has no such bundle."""
        bundles = self.listing.bundles if self.listing else ()
        return bundles[index] if index < len(bundles) else None

    def phase(self, node: NodeFact) -> NodePhase | None:
        """The phase of a node in it, by its own word since it was started; None when it has said nothing."""
        said = self.reports.get(node.node)
        return said.report.phase if said is not None and said.epoch == node.epoch else None

    def has_ended(self, node: str) -> bool:
        """True if the node has said how it ended."""
        report = self.reports.get(node)
        return report is not None and report.report.phase in ENDS


class FleetState:
    """Facts by what they are about. The order in which facts come does not matter, but that of one register does.

    `rests`: the origins that were asked too much, and are to be left alone."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeRecord] = {}
        self.blobs: dict[Digest, BlobRecord] = {}
        self.tasks: dict[str, TaskRecord] = {}
        self.schedulers: dict[str, float] = {}
        self.rests = OriginQuiet()
        self._draining: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._leases: dict[str, LeaseRecord] = {}

    def apply(self, fact: Fact, now: float) -> None:
        """Take a fact that is newer than what is known of the same."""
        match fact:
            case NodeFact():
                self._node(fact, now)
            case HaveFact():
                self._have(self.blob(fact.digest), fact, now)
            case AccusationFact():
                self.blob(fact.digest).accused.setdefault(fact.sender, set()).add(fact.by)
            case LeaseFact():
                self._lease(fact, now)
            case ReportFact() | FilesFact() | LockFact() | ClaimFact() | CancelFact():
                self._of_task(fact, now)
            case SchedulerFact():
                self.schedulers[fact.name] = now
            case DrainFact():
                self._draining[fact.node] = fact.epoch
            case RestFact():
                self.rests.hear(fact, now, is_only=not any(map(self._can_ask, self.nodes.keys() - {fact.node})))

    def remove_node(self, node: str) -> None:
        """Forget a node, and all that it said that it has."""
        self.nodes.pop(node, None)
        self._epochs.pop(node, None)
        self._forget_words(node)

    def undrain(self, node: str) -> None:
        """Forget that a node was to leave."""
        self._draining.pop(node, None)

    def blob(self, digest: Digest) -> BlobRecord:
        """The record of a blob."""
        known = self.blobs.get(digest)
        if known is None:
            known = self.blobs[digest] = BlobRecord()
        return known

    def task(self, task: str) -> TaskRecord:
        """The record of a task."""
        known = self.tasks.get(task)
        if known is None:
            known = self.tasks[task] = TaskRecord()
        return known

    def is_draining(self, node: str) -> bool:
        """True if the node, as it runs now, is to leave."""
        record = self.nodes.get(node)
        return record is not None and self._draining.get(node) == record.fact.epoch

    def is_at_work(self, node: str) -> bool:
        """True while the node says that it is at some task, or that it will be."""
        fact = self.nodes[node].fact
        phases = (task.phase(fact) for task in self.tasks.values() if not task.is_cancelled)
        return any(phase in (NodePhase.WAITING, NodePhase.FETCHING) for phase in phases)

    def pace(self, record: NodeRecord, now: float) -> int:
        """The rate at which a node brought bytes of leases; 0 when that was more than a minute ago."""
        return record.fact.pace if now - record.paced < _MINUTE else 0

    def beat(self, record: NodeRecord) -> float:
        """The time of a node's last sign of life, by itself or by a scheduler that lives and says no other."""
        if record.fact.state is NodeState.LOST:
            return record.beat
        return max(record.beat, self.schedulers.get(record.fact.scheduler, 0.0))

    def wanted(self, task: TaskRecord, name: str) -> frozenset[str]:
        """The nodes that are to get what the task `name` lists. Who is to leave begins with nothing new."""
        lock = task.lock
        if lock is None or task.is_cancelled:
            return frozenset()
        words = [word for word in lock.selector.split(",") if word]
        found = [
            node
            for node, record in self.nodes.items()
            if name in record.fact.joined or (words and record.fact.takes_tasks and record.fact.is_chosen(words))
        ]
        return frozenset(node for node in found if self._takes(task, self.nodes[node].fact))

    def _takes(self, task: TaskRecord, node: NodeFact) -> bool:
        phase = task.phase(node)
        return phase is not NodePhase.FAILED and not (phase is None and self.is_draining(node.node))

    def leases(self) -> Collection[LeaseRecord]:
        """All leases that are some node's."""
        return self._leases.values()

    def lease(self, id_: str) -> LeaseRecord | None:
        """The lease of this id, while it is one."""
        return self._leases.get(id_)

    def forget_schedulers(self, before: float) -> frozenset[str]:
        """Forget the schedulers that have given no sign of life since; their nodes keep the beat that they had.
        Returns their names."""
        gone = {name: beat for name, beat in self.schedulers.items() if beat < before}
        for name, beat in gone.items():
            for record in self.nodes.values():
                if record.fact.scheduler == name:
                    record.beat = max(record.beat, beat)
            del self.schedulers[name]
        return frozenset(gone)

    def forget_task(self, name: str) -> tuple[Digest, ...]:
        """Forget a task, and the blobs that no other one lists, which are returned."""
        gone = self.tasks.pop(name, TaskRecord())
        others = {digest for task in self.tasks.values() if task.listing for digest in task.listing.large}
        found = tuple(digest for digest in (gone.listing.large if gone.listing else ()) if digest not in others)
        for leases in (gone.leases, *(self.blobs.pop(digest, BlobRecord()).leases for digest in found)):
            for index in tuple(leases):
                self._end(leases, index)
        return found

    # -- nodes

    def _node(self, fact: NodeFact, now: float) -> None:
        known = self.nodes.get(fact.node)
        stalls = known.fact.stalls if known else 0
        if self._epochs.get(fact.node) not in (None, fact.epoch):
            self._forget_words(fact.node)
        self._epochs[fact.node] = fact.epoch
        if known is None:
            self.nodes[fact.node] = NodeRecord(fact, now, now if fact.peers else 0.0, now)
        else:
            if known.fact.peers != fact.peers:
                known.told = now
            known.fact, known.beat = fact, now
        if fact.stalls > stalls:
            self.nodes[fact.node].stalled = now
        for progress in fact.leases:
            record = self._leases.get(progress.lease)
            if record is not None and record.fact.node == fact.node:
                if progress.done > record.done:
                    record.moved = self.nodes[fact.node].paced = now
                record.done, record.rate = max(progress.done, record.done), progress.rate

    def _can_ask(self, node: str) -> bool:
        fact = self.nodes[node].fact
        return not fact.site and fact.state is NodeState.READY

    def _forget_words(self, node: str) -> None:
        """Drop what a node said that it has."""
        for blob in self.blobs.values():
            blob.have.pop(node, None)
            blob.holders.discard(node)
        for task in self.tasks.values():
            task.files.pop(node, None)

    def _is_late(self, node: str, epoch: int) -> bool:
        return epoch < self._epochs.get(node, 0)

    # -- blobs

    def _have(self, blob: BlobRecord, fact: HaveFact, now: float) -> None:
        if self._is_late(fact.node, fact.epoch):
            return
        self._epochs.setdefault(fact.node, fact.epoch)
        if fact.is_whole:
            blob.have[fact.node] = Bits.full(fact.checked.count)
            blob.holders.add(fact.node)
        else:
            blob.have[fact.node] = fact.checked
            blob.holders.discard(fact.node)
        mask = blob.have[fact.node].mask
        for index, lease in tuple(blob.leases.items()):
            if lease.fact.node == fact.node and not lease.fact.pieces & ~mask:
                self._brought(lease, lease.fact.end - lease.fact.start, now)
                self._end(blob.leases, index)

    # -- leases

    def _lease(self, fact: LeaseFact, now: float) -> None:
        leases = self.blob(fact.good).leases if isinstance(fact.good, Digest) else self.task(fact.good).leases
        self._end(leases, fact.index)
        if fact.node and not self._is_late(fact.node, fact.epoch):
            leases[fact.index] = self._leases[fact.id] = LeaseRecord(fact, now, now)

    def _brought(self, lease: LeaseRecord, size: int, now: float) -> None:
        """A node has all of a lease, which is of so many bytes."""
        node = self.nodes.get(lease.fact.node)
        if node is not None:
            node.paced = now
            node.brought += max(0, size - lease.done)

    def _end(self, leases: dict[int, LeaseRecord], index: int) -> None:
        record = leases.pop(index, None)
        if record is not None:
            self._leases.pop(record.fact.id, None)

    # -- tasks

    def _of_task(self, fact: ReportFact | FilesFact | LockFact | ClaimFact | CancelFact, now: float) -> None:
        task = self.task(fact.report.task if isinstance(fact, ReportFact) else fact.task)
        match fact:
            case ReportFact():
                task.reports[fact.node] = fact
            case FilesFact():
                if not self._is_late(fact.node, fact.epoch):
                    self._epochs.setdefault(fact.node, fact.epoch)
                    task.files[fact.node] = fact.files
                    self._end_bundles(task, fact.node, now)
            case LockFact():
                task.lock, task.listing = fact, _listing(fact)
            case ClaimFact():
                task.claimed = (fact.node, now)
            case CancelFact():
                task.is_cancelled = True

    def _end_bundles(self, task: TaskRecord, node: str, now: float) -> None:
        for index, lease in tuple(task.leases.items()):
            if lease.fact.node != node or task.listing is None or task.bundle(index) is None:
                continue
            if task.listing.part(index, task.files[node]).is_full:
                self._brought(lease, task.listing.bundles[index].size, now)
                self._end(task.leases, index)


def _listing(fact: LockFact) -> TaskListing | None:
    try:
        return TaskListing.of(fact.task, fact.lock)
    except (GlmAriaError, ValueError, RecursionError):  # as somebody else put it there
        return None
