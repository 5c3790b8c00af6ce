"""Meanings of what a node says: the facts that follow from a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.core.files import MAX_SIZE, Digest
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import BlobProgress, FromNode, Hello, LeaseProgress
from orchestrator.swarm.control.scheduling.facts import (
    AccusationFact,
    Fact,
    FilesFact,
    HaveFact,
    LeaseFact,
    NodeFact,
    ReportFact,
    RestFact,
)
from orchestrator.swarm.control.scheduling.state import FleetState, LeaseRecord, TaskRecord
from orchestrator.swarm.holdings import MOST_ACCUSED, is_node_name
from orchestrator.swarm.leasing import pace_after
from orchestrator.swarm.units import Bits, piece_count
from orchestrator.swarm.view import NodeState

_MOST_TASKS = 256
_HASTE = 2
"""How many times as fast as its bytes came here a node may say that a lease goes: reports do not come evenly."""
_LEAST_BEAT = 0.25


@dataclass(frozen=True, slots=True)
class Heard:
    """The facts of a message: `words` are the node's own, `frees` are leases that end."""

    words: tuple[Fact, ...] = ()
    frees: tuple[LeaseFact, ...] = ()


def welcomed(scheduler: str, hello: Hello, known: NodeFact | None) -> NodeFact:
    """The node as it is after its first words; what is known of it stays, unless it was started again or
    comes from another site."""
    before = known if known is not None and known.epoch == hello.epoch and not known.site else None
    return NodeFact(
        node=hello.node,
        epoch=hello.epoch,
        scheduler=scheduler,
        seq=before.seq if before else 0,
        state=NodeState.READY if before and before.state is NodeState.READY else NodeState.JOINING,
        address=hello.address,
        zone=hello.zone,
        shares_restricted=hello.shares_restricted,
        takes_tasks=hello.takes_tasks,
        starves=before.starves if before else False,
        pace=before.pace if before else 0,
        stalls=before.stalls if before else 0,
        joined=before.joined if before else (),
        peers=before.peers if before else (),
        leases=before.leases if before else (),
        cache=hello.cache,
    )


def hear(  # noqa: PLR0911 - a row for each kind
    state: FleetState, node: NodeFact, said: FromNode, now: float
) -> tuple[NodeFact, Heard]:
    """The node after it said this, and the facts that follow. Of what no task lists nothing follows."""
    match said:
        case messages.Progress():
            return _progress(state, node, said, now), Heard(words=tuple(_blobs(state, node, said.blobs)))
        case messages.HeldUnit():
            return node, _held(state, node, said)
        case messages.FailedWork():
            return node, _failed(state, node, said)
        case messages.WrongPiece() if is_listed(state, said.digest) and _may_accuse(state, node.node):
            return node, Heard(words=(AccusationFact(said.digest, node.node, said.sender),))
        case messages.OriginBusy() if _is_origin(state, said.host):
            return node, Heard(words=(RestFact(said.host, said.seconds, node.node),))
        case messages.TaskReport() if said.task in state.tasks:
            return node, Heard(words=(ReportFact(node.node, node.epoch, said),))
        case messages.Join() if is_node_name(said.task):
            joined = dict.fromkeys((*node.joined, said.task))
            return replace(node, joined=tuple(joined)[-_MOST_TASKS:]), Heard()
        case messages.Bye():
            return replace(node, state=NodeState.GONE, leases=()), Heard()
        case _:
            return node, Heard()


def _progress(state: FleetState, node: NodeFact, said: messages.Progress, now: float) -> NodeFact:
    record = state.nodes.get(node.node)
    elapsed = max(now - record.beat, _LEAST_BEAT) if record else _LEAST_BEAT
    known = [(lease, one) for one in said.leases if (lease := _lease(state, node, one.lease)) is not None]
    leases = tuple(_measured(state, lease, one, elapsed) for lease, one in known)
    came = sum(max(0, one.done - lease.done) for one, (lease, _) in zip(leases, known, strict=True))
    # Quick nodes are through with leases between two reports.
    came += record.brought if record else 0
    seconds = max(now - record.counted, _LEAST_BEAT) if record else _LEAST_BEAT
    pace = min(round(pace_after(node.pace, came, seconds)), MAX_SIZE)
    return replace(node, state=NodeState.READY, leases=leases, pace=pace, starves=said.is_starving)


def _measured(state: FleetState, lease: LeaseRecord, said: LeaseProgress, elapsed: float) -> LeaseProgress:
    """The word of a node on a lease: no more bytes than it is of, and no faster than they came."""
    done = min(said.done, _size(state, lease.fact))
    most = _HASTE * max(0, done - lease.done) / elapsed
    return replace(said, done=done, rate=min(said.rate, round(most)))


def _size(state: FleetState, lease: LeaseFact) -> int:
    if isinstance(lease.good, Digest):
        return lease.end - lease.start
    bundle = state.task(lease.good).bundle(lease.index)
    return bundle.size if bundle else 0


def _blobs(state: FleetState, node: NodeFact, blobs: tuple[BlobProgress, ...]) -> Iterator[Fact]:
    """The facts of these blobs; those of no task, and sets of another size, are left out."""
    if not blobs:
        return
    for name, task in state.tasks.items():
        listing = task.listing
        if listing is None or task.is_cancelled:
            continue
        files = before = _files(state, name, node)
        for blob in blobs:
            size = listing.sizes.get(blob.digest)
            if size is None:
                continue
            place = listing.places.get(blob.digest)
            if place is not None:
                bit = 1 << place
                files = Bits(files.count, files.mask | bit if blob.is_whole else files.mask & ~bit)
            elif (fact := _have(node, blob, size)) is not None:
                yield fact
        if files != before:
            yield FilesFact(name, node.node, node.epoch, files)


def _have(node: NodeFact, blob: BlobProgress, size: int) -> HaveFact | None:
    count = piece_count(size)
    try:
        checked = Bits(count) if blob.is_whole else Bits.parse(count, blob.checked)
    except ValueError:
        return None
    return HaveFact(blob.digest, size, node.node, node.epoch, checked, blob.is_whole)


def _files(state: FleetState, task: str, node: NodeFact) -> Bits:
    record = state.task(task)
    count = len(record.listing.places) if record.listing else 0
    known = record.files.get(node.node)
    return known if known is not None and known.count == count else Bits(count)


def _held(state: FleetState, node: NodeFact, said: messages.HeldUnit) -> Heard:
    record = _lease(state, node, said.lease)
    if record is None:
        return Heard()
    lease = record.fact
    if isinstance(lease.good, str):
        task = state.task(lease.good)
        if task.listing is None or task.bundle(lease.index) is None:
            return Heard()
        files = task.listing.with_bundle(lease.index, _files(state, lease.good, node))
        return Heard(words=(FilesFact(lease.good, node.node, node.epoch, files),))
    sizes = (task.listing.sizes[lease.good] for task in _listing(state, lease.good) if task.listing)
    size = next(sizes, 0)
    count = piece_count(size)
    known = state.blob(lease.good).have.get(node.node)
    mask = (known.mask if known is not None and known.count == count else 0) | lease.pieces
    checked = Bits(count, mask & Bits.full(count).mask)
    is_whole = node.node in state.blob(lease.good).holders
    return Heard(words=(HaveFact(lease.good, size, node.node, node.epoch, checked, is_whole),))


def _failed(state: FleetState, node: NodeFact, said: messages.FailedWork) -> Heard:
    record = _lease(state, node, said.lease)
    if record is None:
        return Heard()
    return Heard(frees=(replace(record.fact, node=""),))


def _may_accuse(state: FleetState, by: str) -> bool:
    return sum(by in each for blob in state.blobs.values() for each in blob.accused.values()) < MOST_ACCUSED


def _is_origin(state: FleetState, host: str) -> bool:
    return any(task.listing is not None and host in task.listing.hosts.values() for task in state.tasks.values())


def is_listed(state: FleetState, digest: Digest) -> bool:
    """True if some task lists this blob."""
    return any(True for _ in _listing(state, digest))


def _listing(state: FleetState, digest: Digest) -> Iterator[TaskRecord]:
    return (task for task in state.tasks.values() if task.listing and digest in task.listing.sizes)


def _lease(state: FleetState, node: NodeFact, id_: str) -> LeaseRecord | None:
    """The lease of this id, if it is the node's."""
    record = state.lease(id_)
    return record if record is not None and record.fact.node == node.node else None
