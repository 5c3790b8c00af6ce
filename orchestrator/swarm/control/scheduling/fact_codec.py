"""Facts as registers of a board, and back: the only module that knows their names and bytes.

    fleet            scheduler:<name>  node:<node>  drain:<node>  rest:<origin>
    task:<task>      lock  claim  cancel  report:<node>  files:<node>  bundle:<index>
    <digest>         have:<node>  unit:<index>  accused:<by>:<sender>

What a node says has its epoch as the first number of the version, so a restart outdoes all that was said before. What
is read was written by anybody: what is no fact is left out.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from orchestrator.core.files import MAX_FILE, MAX_SIZE, Digest
from orchestrator.swarm.board.interface import Register, Version
from orchestrator.swarm.control.messages import MOST_LOCK, MOST_TEXT, LeaseProgress, NodePhase, TaskReport
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
from orchestrator.swarm.holdings import is_node_name
from orchestrator.swarm.units import Bits, Unit, piece_count
from orchestrator.swarm.view import NodeState

Key = tuple[str, str]
"""The shelf and the name of a register."""

FLEET, _TASK = "fleet", "task:"
_YES = b"1"
_MOST_LIST = 1024


# -- writing


def key_of(fact: Fact) -> Key:  # noqa: PLR0911, PLR0912 - a row for each kind
    """The register of a fact."""
    match fact:
        case SchedulerFact():
            return FLEET, f"scheduler:{fact.name}"
        case NodeFact():
            return FLEET, f"node:{fact.node}"
        case DrainFact():
            return FLEET, f"drain:{fact.node}"
        case RestFact():
            return FLEET, f"rest:{fact.host}"
        case LockFact():
            return f"{_TASK}{fact.task}", "lock"
        case ClaimFact():
            return f"{_TASK}{fact.task}", "claim"
        case CancelFact():
            return f"{_TASK}{fact.task}", "cancel"
        case ReportFact():
            return f"{_TASK}{fact.report.task}", f"report:{fact.node}"
        case FilesFact():
            return f"{_TASK}{fact.task}", f"files:{fact.node}"
        case LeaseFact(good=str()):
            return f"{_TASK}{fact.good}", f"bundle:{fact.index}"
        case LeaseFact():
            return str(fact.good), f"unit:{fact.index}"
        case HaveFact():
            return str(fact.digest), f"have:{fact.node}"
        case AccusationFact():
            return str(fact.digest), f"accused:{fact.by}:{fact.sender}"


def register_of(fact: Fact, version: Version) -> Register:
    """A fact as the register of this version."""
    return Register(*key_of(fact), version, _value(fact))


def _value(fact: Fact) -> bytes:  # noqa: PLR0911 - a row for each kind
    match fact:
        case NodeFact():
            leases = [[one.lease, one.done, one.rate] for one in fact.leases]
            text = [fact.scheduler, fact.state, fact.address, fact.zone, fact.cache]
            numbers = [fact.seq, fact.pace, fact.stalls]
            flags = [fact.shares_restricted, fact.takes_tasks, fact.starves]
            brings = [[str(one.digest), one.index, one.start, one.end] for one in fact.brings]
            return _json([text, numbers, flags, fact.joined, fact.peers, leases, fact.site, brings])
        case LockFact():
            return _packed(fact)
        case ReportFact(report=told):
            return _json([told.phase, told.code, told.done, told.from_origin, told.from_peers, dict(told.senders)])
        case FilesFact():
            return fact.files.count.to_bytes(8, "big") + bytes(fact.files)
        case HaveFact():
            return fact.size.to_bytes(8, "big") + (b"" if fact.is_whole else bytes(fact.checked))
        case LeaseFact():
            return _json([fact.id, fact.node, fact.epoch, fact.start, fact.end])
        case ClaimFact():
            return fact.node.encode()
        case DrainFact():
            return _json(fact.epoch)
        case RestFact():
            return _json([fact.seconds, fact.node])
        case _:
            return _YES


@lru_cache(maxsize=16)  # seconds for a long one, as to read it: a thread does both first
def _packed(fact: LockFact) -> bytes:
    said = [fact.name, fact.selector, fact.priority, fact.is_restricted, fact.lock, fact.seal, fact.at]
    return zlib.compress(_json(said), 1)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# -- reading


def fact_of(register: Register) -> Fact | None:
    """The fact of a register; None for what is none, and for one that was taken away."""
    kind, _, rest = register.name.partition(":")
    shelf = register.shelf
    try:
        if shelf == FLEET:
            read = _OF_FLEET.get(kind)
            return read(rest, register) if read else None
        if shelf.startswith(_TASK):
            of_task = _OF_TASK.get(kind)
            return of_task(_name(shelf.removeprefix(_TASK)), rest, register) if of_task else None
        of_blob = _OF_BLOB.get(kind)
        return of_blob(Digest.parse(shelf), rest, register) if of_blob else None
    except Exception:  # noqa: BLE001 - whatever a value that somebody made up raises, it is one that is passed over
        return None


def is_lock(register: Register) -> bool:
    """True for what is to be the lock file of a task."""
    return register.shelf.startswith(_TASK) and register.name == "lock" and bool(register.value)


def is_sound(fact: Fact) -> bool:
    """True if others can read what we would write: what a node says may be of any length and size."""
    try:
        return fact_of(register_of(fact, (getattr(fact, "epoch", 0), 1))) == fact
    except (ValueError, OverflowError):
        return False


def _node(name: str, register: Register) -> NodeFact:
    text, numbers, flags, joined, peers, leases, site, brings = json.loads(register.value)
    scheduler, state, address, zone, cache = map(_text, text)
    seq, pace, stalls = map(_number, numbers)
    shares, takes, starves = flags
    return NodeFact(
        node=_name(name),
        epoch=register.version[0],
        scheduler=scheduler,
        seq=seq,
        state=NodeState(state),
        address=address,
        zone=zone,
        shares_restricted=shares is True,
        takes_tasks=takes is True,
        starves=starves is True,
        pace=pace,
        stalls=stalls,
        joined=tuple(map(_name, _list(joined))),
        peers=tuple(map(_name, _list(peers))),
        leases=tuple(LeaseProgress(_text(id_), _number(done), _number(rate)) for id_, done, rate in _list(leases)),
        site=_name(site) if site else "",
        brings=tuple(_unit(*one) for one in _list(brings)),
        cache=cache,
    )


def _unit(digest: str, index: int, start: int, end: int) -> Unit:
    number, start, end = map(_number, (index, start, end))
    if end > MAX_FILE or start > end:
        raise ValueError("no part of a file")
    return Unit(Digest.parse(digest), number, start, end)


@lru_cache(maxsize=16)
def _lock(task: str, _: str, register: Register) -> LockFact:
    unpacking = zlib.decompressobj()
    said = json.loads(unpacking.decompress(register.value, MOST_LOCK))
    name, selector, priority, is_restricted, lock, seal, at = said
    if not isinstance(lock, str) or type(priority) is not int:
        raise ValueError("no task")
    told = _text(name), _text(selector), priority, is_restricted is True, lock, _text(seal)
    return LockFact(task, *told, _number(at))


def _report(task: str, node: str, register: Register) -> ReportFact:
    phase, code, *numbers, senders = json.loads(register.value)
    done, from_origin, from_peers = map(_number, numbers)
    told = {_text(sender): _number(size) for sender, size in sorted(senders.items())[:_MOST_LIST]}
    report = TaskReport(task, NodePhase(phase), _text(code), done, from_origin, from_peers, told)
    return ReportFact(_name(node), register.version[0], report)


def _files(task: str, node: str, register: Register) -> FilesFact:
    count = int.from_bytes(register.value[:8], "big")
    return FilesFact(task, _name(node), register.version[0], Bits.parse(count, register.value[8:]))


def _have(digest: Digest, node: str, register: Register) -> HaveFact:
    size = int.from_bytes(register.value[:8], "big")
    is_whole = len(register.value) == 8
    if size > MAX_FILE:
        raise ValueError("no size")
    count = piece_count(size)
    checked = Bits(count) if is_whole else Bits.parse(count, register.value[8:])
    return HaveFact(digest, size, _name(node), register.version[0], checked, is_whole)


def _lease(good: Digest | str, index: str, register: Register) -> LeaseFact:
    id_, node, epoch, start, end = json.loads(register.value)
    numbers = map(_number, (int(index), epoch, start, end))
    number, epoch, start, end = numbers
    if end > MAX_FILE or start > end:
        raise ValueError("no part of a file")
    return LeaseFact(good, number, _text(id_), _name(node) if node else "", epoch, start, end)


def _rest(host: str, register: Register) -> RestFact:
    seconds, node = json.loads(register.value)
    return RestFact(_text(host), _number(seconds), _name(node))


def _accusation(digest: Digest, names: str, _: Register) -> AccusationFact:
    by, _colon, sender = names.partition(":")
    if not sender:
        raise ValueError("nobody is accused")
    return AccusationFact(digest, _name(by), _text(sender))


_OF_FLEET: Mapping[str, Callable[[str, Register], Fact]] = {
    "scheduler": lambda name, _: SchedulerFact(_text(name)),
    "node": _node,
    "drain": lambda name, register: DrainFact(_name(name), _number(json.loads(register.value))),
    "rest": _rest,
}
_OF_TASK: Mapping[str, Callable[[str, str, Register], Fact]] = {
    "lock": _lock,
    "claim": lambda task, _, register: ClaimFact(task, _name(register.value.decode())),
    "cancel": lambda task, *_: CancelFact(task),
    "report": _report,
    "files": _files,
    "bundle": _lease,
}
_OF_BLOB: Mapping[str, Callable[[Digest, str, Register], Fact]] = {
    "have": _have,
    "unit": _lease,
    "accused": _accusation,
}


def _name(text: object) -> str:
    if not isinstance(text, str) or not is_node_name(text):
        raise ValueError("no name")
    return text


def _text(text: object) -> str:
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise ValueError("no text")
    return text


def _number(number: Any) -> int:
    if type(number) is not int or not 0 <= number <= MAX_SIZE:
        raise ValueError("no number")
    return number


def _list(found: object) -> list[Any]:
    if not isinstance(found, list) or len(found) > _MOST_LIST:
        raise ValueError("no list")
    return found
