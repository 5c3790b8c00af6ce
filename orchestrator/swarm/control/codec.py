"""Messages as protobuf, and back: the only module that knows the fields of both.

What is read was written by somebody else: what has no meaning raises ProtocolError.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.errors import ProtocolError, UnsafeError
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import FromNode, FromScheduler, NodePhase
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.holdings import Peer

_PART = 48 << 10
"""Bytes of a lock file in one message."""
_PHASES: Mapping[NodePhase, pb.NodePhase] = {
    NodePhase.WAITING: pb.NODE_PHASE_WAITING,
    NodePhase.FETCHING: pb.NODE_PHASE_FETCHING,
    NodePhase.PLACED: pb.NODE_PHASE_PLACED,
    NodePhase.FAILED: pb.NODE_PHASE_FAILED,
}
PHASES: Mapping[pb.NodePhase, NodePhase] = {number: phase for phase, number in _PHASES.items()}


_parsed = lru_cache(maxsize=4096)(Digest.parse)
"""All nodes say something of the same blobs, each second."""
_encoded = lru_cache(maxsize=4)(str.encode)


# -- from nodes --------------------------------------------------------------------------------------------------------


def request(seq: int, said: FromNode) -> pb.DownloadRequest:
    """The message of a node with this number."""
    made = pb.DownloadRequest(seq=seq)
    match said:
        case messages.Hello():
            made.hello.CopyFrom(hello(said))
        case messages.Join():
            made.join.task = said.task
        case messages.Progress():
            leases = [pb.LeaseProgress(lease=one.lease, done=one.done, rate=one.rate) for one in said.leases]
            blobs = map(blob_progress, said.blobs)
            made.progress.CopyFrom(pb.Progress(blobs=blobs, leases=leases, is_starving=said.is_starving))
        case messages.HeldUnit():
            made.held.CopyFrom(pb.Held(lease=said.lease))
        case messages.FailedWork():
            made.failed.CopyFrom(pb.Failed(lease=said.lease, code=said.code))
        case messages.WrongPiece():
            made.wrong.CopyFrom(pb.Wrong(digest=str(said.digest), piece=said.piece, sender=said.sender))
        case messages.OriginBusy():
            made.busy.CopyFrom(pb.Busy(host=said.host, seconds=said.seconds))
        case messages.TaskReport():
            made.report.CopyFrom(report(said))
        case messages.Bye():
            made.bye.SetInParent()
    return made


def said(found: pb.DownloadRequest) -> FromNode:
    """The message of a node. Raises ProtocolError."""
    kind = found.WhichOneof("said")
    if kind is None:
        raise ProtocolError("a node sent a message that says nothing: is it of another version?")
    return _SAID[kind](getattr(found, kind))


def hello(said: messages.Hello) -> pb.Hello:
    """The first message of a node."""
    return pb.Hello(
        node=said.node,
        epoch=said.epoch,
        address=said.address,
        zone=said.zone,
        shares_restricted=said.shares_restricted,
        takes_tasks=said.takes_tasks,
        leases=said.leases,
        cache=said.cache,
    )


def said_hello(found: pb.Hello) -> messages.Hello:
    """See `said`."""
    if not found.node or not found.epoch:
        raise ProtocolError("a node says who it is without a name, or without an epoch")
    return messages.Hello(
        found.node,
        found.epoch,
        found.address,
        found.zone,
        found.shares_restricted,
        found.takes_tasks,
        tuple(found.leases),
        found.cache,
    )


def blob_progress(said: messages.BlobProgress) -> pb.BlobProgress:
    """A blob at a node."""
    return pb.BlobProgress(digest=str(said.digest), checked=said.checked, is_whole=said.is_whole)


def said_blob(found: pb.BlobProgress) -> messages.BlobProgress:
    """See `said`."""
    return messages.BlobProgress(digest_of(found.digest), found.checked, found.is_whole)


def report(said: messages.TaskReport) -> pb.TaskReport:
    """The report of a node on a task."""
    return pb.TaskReport(
        task=said.task,
        phase=_PHASES[said.phase],
        code=said.code,
        done=said.done,
        from_origin=said.from_origin,
        from_peers=said.from_peers,
        senders=said.senders,
    )


def said_report(task: str, found: pb.TaskReport | pb.TaskNode) -> messages.TaskReport:
    """The report of a node on this task; see `said`."""
    return messages.TaskReport(
        task,
        PHASES.get(found.phase, NodePhase.WAITING),
        found.code,
        found.done,
        found.from_origin,
        found.from_peers,
        dict(found.senders),
    )


def _said_progress(found: pb.Progress) -> messages.Progress:
    leases = tuple(messages.LeaseProgress(one.lease, one.done, one.rate) for one in found.leases)
    return messages.Progress(tuple(map(said_blob, found.blobs)), leases, found.is_starving)


_SAID: Mapping[str, Callable[[Any], FromNode]] = {
    "hello": said_hello,
    "join": lambda found: messages.Join(found.task),
    "progress": _said_progress,
    "held": lambda found: messages.HeldUnit(found.lease),
    "failed": lambda found: messages.FailedWork(found.lease, found.code),
    "wrong": lambda found: messages.WrongPiece(digest_of(found.digest), found.piece, found.sender),
    "busy": lambda found: messages.OriginBusy(found.host, found.seconds),
    "report": lambda found: said_report(found.task, found),
    "bye": lambda _: messages.Bye(),
}


# -- from schedulers ---------------------------------------------------------------------------------------------------


def statuses(seen: int, told: FromScheduler) -> Iterator[pb.DownloadStatus]:
    """The messages of a scheduler that has heard a node up to the number `seen`: several for a long lock file."""
    if isinstance(told, messages.TaskLock):
        for part, is_last in _parts(told.lock):
            sent = pb.TaskPart(task=told.task, lock=part, last=is_last)
            sent.priority, sent.is_restricted, sent.seal = told.priority, told.is_restricted, told.seal
            yield pb.DownloadStatus(seen=seen, task=sent)
        return
    made = pb.DownloadStatus(seen=seen)
    match told:
        case messages.Welcome():
            made.welcome.CopyFrom(pb.Welcome(scheduler=told.scheduler, beat=told.beat))
            made.seen = told.seen
        case messages.TaskCancelled():
            made.cancelled.task = told.task
        case messages.Assign():
            digest, bundle = str(told.digest or ""), map(str, told.bundle)
            made.assign.CopyFrom(
                pb.Assign(
                    lease=told.lease, digest=digest, unit=told.unit, start=told.start, end=told.end, bundle=bundle
                )
            )
        case messages.RevokedLease():
            made.revoke.lease = told.lease
        case messages.PeersToAsk():
            peers = [pb.Peer(node=one.node, address=one.address, zone=one.zone) for one in told.peers]
            made.peers.CopyFrom(pb.Peers(peers=peers))
        case messages.Shunned():
            made.quarantine.CopyFrom(pb.Quarantine(nodes=told.nodes))
        case messages.DrainOrder():
            made.drain.CopyFrom(pb.DrainOrder(may_leave=told.may_leave))
    yield made


class Told:
    """Reads what a scheduler tells one node, in its order."""

    def __init__(self) -> None:
        self._lock = bytearray()

    def read(self, found: pb.DownloadStatus) -> FromScheduler | None:
        """The message; None for the part of one that goes on. Raises ProtocolError."""
        match found.WhichOneof("told"):
            case "welcome":
                return messages.Welcome(found.welcome.scheduler, found.welcome.beat, found.seen)
            case "task":
                self._lock += found.task.lock
                if len(self._lock) > messages.MOST_LOCK:
                    raise ProtocolError("a scheduler sends a lock file without an end")
                if not found.task.last:
                    return None
                given, text, self._lock = found.task, _text(self._lock), bytearray()
                return messages.TaskLock(given.task, text, given.priority, given.is_restricted, given.seal)
            case "assign":
                lease = found.assign
                bundle = tuple(map(digest_of, lease.bundle))
                digest = _digest_or_none(lease.digest)
                return messages.Assign(lease.lease, digest, lease.unit, lease.start, lease.end, bundle)
            case "revoke":
                return messages.RevokedLease(found.revoke.lease)
            case "peers":
                return messages.PeersToAsk(tuple(Peer(one.node, one.address, one.zone) for one in found.peers.peers))
            case _:
                return _told_rarely(found)


def _told_rarely(found: pb.DownloadStatus) -> FromScheduler | None:
    match found.WhichOneof("told"):
        case "cancelled":
            return messages.TaskCancelled(found.cancelled.task)
        case "quarantine":
            return messages.Shunned(tuple(found.quarantine.nodes))
        case "drain":
            return messages.DrainOrder(found.drain.may_leave)
        case _:
            return None  # of a newer version, or only `seen`


# -- parts -------------------------------------------------------------------------------------------------------------


def digest_of(text: str) -> Digest:
    """A digest that somebody wrote. Raises ProtocolError."""
    try:
        return _parsed(text)
    except UnsafeError as error:
        raise ProtocolError(f"a message of the fleet cannot be read: {error.message}") from error


def submissions(asked: messages.Submission) -> Iterator[pb.SubmitTaskRequest]:
    """The messages of a submission: several for a long lock file."""
    first = pb.SubmitTaskRequest(
        key=asked.key,
        name=asked.name,
        selector=asked.selector,
        priority=asked.priority,
        node=asked.node,
        is_restricted=asked.is_restricted,
        seal=asked.seal,
    )
    for part, _ in _parts(asked.lock):
        first.lock = part
        yield first
        first = pb.SubmitTaskRequest()


async def submission(parts: AsyncIterable[pb.SubmitTaskRequest]) -> messages.Submission:
    """The submission in these messages, of which no more is kept than a lock file may have. Raises ProtocolError."""
    first, lock = None, bytearray()
    async for part in parts:
        first = first or part
        lock += part.lock
        if len(lock) > messages.MOST_LOCK:
            raise ProtocolError("a lock file is longer than 32 MiB")
    if first is None or not first.key:
        raise ProtocolError("a task is submitted without a key")
    return messages.Submission(
        first.key, first.name, first.selector, first.priority, _text(lock), first.node, first.is_restricted, first.seal
    )


def _parts(lock: str) -> Iterator[tuple[bytes, bool]]:
    """The parts of a lock file, and whether each is the last one. A thousand nodes that get the same one share it."""
    content = _encoded(lock)
    for start in range(0, len(content) or 1, _PART):
        yield content[start : start + _PART], start + _PART >= len(content)


def _text(lock: bytearray) -> str:
    try:
        return lock.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a lock file in a message of the fleet is not UTF-8") from error


def _digest_or_none(text: str) -> Digest | None:
    return digest_of(text) if text else None
