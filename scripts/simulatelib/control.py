"""The scheduler of a simulated fleet: it knows what nodes reported, and calls the real planner."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.files import Digest
from orchestrator.swarm.plan import plan
from orchestrator.swarm.units import Bits, Unit, piece_count
from orchestrator.swarm.view import (
    BlobView,
    Evict,
    FleetAction,
    FleetView,
    Lease,
    NodeState,
    NodeView,
    Peers,
    Revoke,
    TaskView,
)

_RATE_SECONDS = 3.0


@dataclass(slots=True)
class Granted:
    """A lease that runs: what it brought by when, as its node reported it."""

    lease: Lease
    told: deque[tuple[float, int]] = field(default_factory=deque)

    def report(self, now: float, done: int) -> None:
        """Note that so many bytes of it have come."""
        if done > self.lease.done:
            self.lease = replace(self.lease, done=done, moved=now)
        self.told.append((now, done))
        while len(self.told) > 2 and self.told[1][0] <= now - _RATE_SECONDS:
            self.told.popleft()
        first, before = self.told[0] if len(self.told) > 1 else (self.lease.since, 0)
        self.lease = replace(self.lease, rate=(done - before) / max(now - first, 1e-3))


class Control:
    """What schedulers that share a board know, and the counts of messages and of writes to the board."""

    def __init__(self, sizes: Mapping[Digest, int]) -> None:
        self._sizes = sizes
        self.nodes: dict[str, NodeView] = {}
        self.have: dict[Digest, dict[str, Bits]] = {each: {} for each in sizes}
        self.holders: dict[Digest, set[str]] = {each: set() for each in sizes}
        self.accused: dict[Digest, dict[str, frozenset[str]]] = {each: {} for each in sizes}
        self.leases: dict[str, Granted] = {}
        self.messages = 0
        self.writes = 0
        self.calls = 0
        self._lease = 0
        self._task = (TaskView("model", 0, tuple(sizes)),)

    def join(self, node: NodeView) -> None:
        """A node says hello."""
        self.nodes[node.id] = node
        self.messages += 2
        self.writes += 1

    def beat(self, name: str, now: float, have: Mapping[Digest, Bits], **changes: object) -> None:
        """A node reports: its state, and the pieces that it has, where that changed."""
        if name not in self.nodes:
            return
        self.nodes[name] = replace(self.nodes[name], beat=now, **changes)  # type: ignore[arg-type]
        self.messages += 1
        self.writes += 1 + len(have)
        for digest, bits in have.items():
            self.have[digest][name] = bits

    def held(self, identity: str, bits: Bits) -> None:
        """The work of a lease is done, and its node has these pieces."""
        lease = self.leases.pop(identity).lease
        if isinstance(lease.work, Unit):
            self.have[lease.work.digest][lease.node] = bits
        self.messages += 1
        self.writes += 2

    def is_whole(self, name: str, digest: Digest) -> None:
        """A node has proven a blob."""
        self.holders[digest].add(name)
        self.have[digest][name] = Bits.full(piece_count(self._sizes[digest]))
        self.messages += 1
        self.writes += 1

    def accuse(self, name: str, digest: Digest, by: str) -> None:
        """A node met altered bytes of another one."""
        accused = self.accused[digest]
        accused[name] = accused.get(name, frozenset()) | {by}
        self.messages += 1
        self.writes += 1

    def lose(self, name: str) -> None:
        """The stream of a node broke, and it did not come back in time."""
        if name in self.nodes:
            self.nodes[name] = replace(self.nodes[name], state=NodeState.LOST)
            self.writes += 1

    def view(self, members: frozenset[str] | None = None) -> FleetView:
        """What is known, of these nodes alone if they are named."""
        wanted = frozenset(self.nodes)
        nodes = self.nodes if members is None else {name: self.nodes[name] for name in wanted & members}
        leases: dict[Digest, list[Lease]] = {each: [] for each in self._sizes}
        for granted in self.leases.values():
            if isinstance(granted.lease.work, Unit) and granted.lease.node in nodes:
                leases[granted.lease.work.digest].append(granted.lease)
        blobs = {
            digest: BlobView(
                digest,
                size,
                self.have[digest],
                frozenset(self.holders[digest] & nodes.keys()),
                tuple(leases[digest]),
                wanted,
                self.accused[digest],
                "origin",
            )
            for digest, size in self._sizes.items()
        }
        return FleetView(nodes, blobs, (), self._task)

    def plan(self, now: float, members: frozenset[str] | None = None) -> tuple[FleetAction, ...]:
        """The plan of now, for these members alone if they are named; leases have their identities, and what is decided
        is known from now on."""
        self.calls += 1
        actions: list[FleetAction] = []
        for action in plan(self.view(members), now):
            match action:
                case Lease():
                    self._lease += 1
                    lease = replace(action, id=str(self._lease))
                    self.leases[lease.id] = Granted(lease)
                    actions.append(lease)
                case Revoke(lease):
                    del self.leases[lease.id]
                    actions.append(action)
                case Peers(node, peers):
                    self.nodes[node] = replace(self.nodes[node], peers=peers, told=now, starves=False)
                    actions.append(action)
                case Evict(node):
                    self.forget(node)
                case _:
                    actions.append(action)
            self.messages += not isinstance(action, Evict)
            self.writes += 1
        return tuple(actions)

    def forget(self, name: str) -> None:
        """A node is no member any more."""
        del self.nodes[name]
        for known in self.have.values():
            known.pop(name, None)
        for holders in self.holders.values():
            holders.discard(name)
