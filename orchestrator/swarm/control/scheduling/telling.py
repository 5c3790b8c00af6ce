"""Messages to a node: whatever is so and it has not heard yet on this connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.files import Digest
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import FromScheduler, Hello, Shunned
from orchestrator.swarm.control.scheduling.facts import LeaseFact
from orchestrator.swarm.control.scheduling.state import ENDS, FleetState
from orchestrator.swarm.control.scheduling.viewing import RunningTask
from orchestrator.swarm.holdings import Peer


@dataclass(slots=True)
class Connection:
    """A node that is connected here since it said `hello`, and what it was told since.

    `heard`: when it last said something; `left`: when the connection broke. `is_ours` is False once another scheduler
    has heard of it since. `leases` are those that it works on, by its own word and ours.
    """

    hello: Hello
    send: Callable[[FromScheduler], None]
    heard: float
    left: float | None = None
    is_ours: bool = True
    tasks: set[str] = field(default_factory=set)
    leases: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    peers: tuple[Peer, ...] | None = None
    shunned: Shunned = field(default_factory=Shunned)
    drain: messages.DrainOrder | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All that a node is to know."""

    leases: Mapping[str, LeaseFact]
    tasks: Sequence[RunningTask]
    shunned: Shunned
    drain: messages.DrainOrder | None


def tell(state: FleetState, node: str, connection: Connection, wanted: Knowledge) -> None:
    """Send a node all that it does not know yet."""
    record = state.nodes[node]
    for task in wanted.tasks:
        has_ended = task.record.phase(record.fact) in ENDS
        if node in task.wanted and task.name not in connection.tasks and task.record.lock and not has_ended:
            connection.tasks.add(task.name)
            lock = task.record.lock
            connection.send(messages.TaskLock(task.name, lock.lock, lock.priority, lock.is_restricted, lock.seal))
    for name in [name for name in connection.tasks if name in state.tasks and state.tasks[name].is_cancelled]:
        connection.tasks.discard(name)
        connection.send(messages.TaskCancelled(name))
    if wanted.shunned != connection.shunned:
        connection.shunned = wanted.shunned
        connection.send(wanted.shunned)
    peers = tuple(
        Peer(peer, fact.address, fact.place)
        for peer in record.fact.peers
        if peer in state.nodes and (fact := state.nodes[peer].fact).address
    )
    if peers != connection.peers and (peers or connection.peers):
        connection.peers = peers
        connection.send(messages.PeersToAsk(peers))
    _tell_leases(state, connection, wanted.leases)
    if wanted.drain is not None and wanted.drain != connection.drain:
        connection.drain = wanted.drain
        connection.send(wanted.drain)


def _tell_leases(state: FleetState, connection: Connection, leases: Mapping[str, LeaseFact]) -> None:
    for id_ in connection.leases - leases.keys():
        connection.leases.discard(id_)
        if id_ not in connection.ended:
            connection.send(messages.RevokedLease(id_))
        connection.ended.discard(id_)
    for id_, lease in leases.items():
        if id_ not in connection.leases:
            connection.leases.add(id_)
            connection.send(_assign(state, lease))


def _assign(state: FleetState, lease: LeaseFact) -> messages.Assign:
    if isinstance(lease.good, Digest):
        return messages.Assign(lease.id, lease.good, lease.index, lease.start, lease.end)
    bundle = state.task(lease.good).bundle(lease.index)
    return messages.Assign(lease.id, bundle=bundle.digests if bundle else ())
