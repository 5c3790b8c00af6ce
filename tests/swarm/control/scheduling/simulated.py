"""Fleets of simulated nodes around real cores of schedulers: bytes are counted, time is given, nothing sleeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.core.files import Digest, git_blob_header
from orchestrator.core.refs import parse_ref
from orchestrator.core.trust import Trust
from orchestrator.errors import TemporaryError
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, render_lock
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.board.interface import FleetBoard
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import NodePhase
from orchestrator.swarm.control.scheduling.core import SchedulerCore
from orchestrator.swarm.control.scheduling.facts import LockFact
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.units import Bits, piece_count

MB = 1 << 20
STEP = 0.25


def lock_of(sizes: Sequence[int], repo: str = "org/name") -> str:
    """A lock file of files with these sizes, each with a digest of its own."""
    files = tuple(
        LockedFile(
            f"f{index:05}",
            size,
            hashlib.sha1(git_blob_header(index), usedforsecurity=False).hexdigest(),
            hashlib.sha256(b"%d %d" % (index, size)).hexdigest(),
            is_lfs=True,
        )
        for index, size in enumerate(sizes)
    )
    model = LockedModel(parse_ref(repo), "1" * 40, Trust("single", "http://origin"), files)
    return render_lock(Lock((model,)))


@dataclass(slots=True)
class Origin:
    """Counts what it sends; gives `rate` bytes a second to all."""

    rate: float
    sent: int = 0
    refuses: bool = False


@dataclass(slots=True)
class SimNode:
    """A node that fetches what it is assigned, and takes pieces from the peers that it is told. One that `hoards` keeps
    its leases and fetches nothing: `plain` is silent about it, and `says` boasts and adds a byte a second."""

    name: str
    rate: float
    epoch: int = 1
    seq: int = 0
    core: int | None = None
    is_alive: bool = True
    alters: bool = False
    hoards: str = ""
    task: str = ""
    have: dict[Digest, int] = field(default_factory=dict)
    proven: set[Digest] = field(default_factory=set)
    leases: dict[str, messages.Assign] = field(default_factory=dict)
    brought: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    peers: tuple[str, ...] = ()
    shunned: frozenset[str] = frozenset()
    from_peers: int = 0
    from_far: int = 0
    from_peers_before: int = 0
    is_placed: bool = False
    changed: set[Digest] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    may_leave: bool = False

    def told(self, message: messages.FromScheduler) -> None:
        """Take what a scheduler says."""
        self.said.append(type(message).__name__)
        match message:
            case messages.TaskLock():
                self.task = message.task
                self.changed.update(self.have)
                self.changed.update(self.proven)
            case messages.Assign():
                self.leases[message.lease] = message
                self.brought.setdefault(message.lease, 0.0)
            case messages.RevokedLease():
                self.leases.pop(message.lease, None)
            case messages.PeersToAsk():
                self.peers = tuple(peer.node for peer in message.peers)
            case messages.Shunned():
                self.shunned = frozenset(message.nodes)
            case messages.DrainOrder():
                self.may_leave = message.may_leave


class Fleet:
    """Nodes, an origin, and one or more cores of schedulers on boards that belong together."""

    def __init__(
        self, nodes: int, sizes: Sequence[int], *, boards: Sequence[FleetBoard] = (), rate: float = 20 * MB,
        nic: float = 100 * MB, names: str = "abc", site: str = "",
    ) -> None:  # fmt: skip
        self.boards = list(boards) or [MemoryBoard()]
        self.cores = [SchedulerCore(f"scheduler-{site}{names[index]}", site=site) for index in range(len(self.boards))]
        self.far: dict[str, SimNode] = {}
        """Nodes of other sites that can be reached."""
        self.dead: set[int] = set()
        self.origin = Origin(rate)
        self.lock = lock_of(sizes)
        self.listing = TaskListing.of("task", self.lock)
        self.nodes = {name: SimNode(name, nic) for name in (f"n{site}{index:04}" for index in range(nodes))}
        self.now = 1000.0
        self.fetched: dict[tuple[Digest, int], int] = {}
        for index, node in enumerate(self.nodes.values()):
            self.join(node, index % len(self.cores))

    # -- control

    def join(self, node: SimNode, core: int) -> None:
        """Connect a node to a scheduler."""
        node.core = core
        hello = messages.Hello(
            node.name, node.epoch, f"http://{node.name}:1", takes_tasks=True, leases=tuple(node.leases)
        )
        welcome = self.cores[core].connect(hello, node.told, self.now)
        node.seq = max(node.seq, welcome.seen)
        node.changed.update(node.have)

    def submit(self) -> None:
        """Submit the task of this fleet."""
        self.cores[0].agreement.wish(LockFact("task", "name", "n*", 0, is_restricted=False, lock=self.lock))

    def hear(self, node: SimNode, said: messages.FromNode) -> None:
        if node.core is not None and node.core not in self.dead:
            node.seq += 1
            self.cores[node.core].hear(node.name, node.epoch, node.seq, said, self.now)

    def kill(self, node: SimNode) -> None:
        """As `kill -9`: its connection breaks."""
        node.is_alive = False
        if node.core is not None:
            self.cores[node.core].leave(node.name, self.now)

    def kill_core(self, index: int, other: int) -> None:
        """A scheduler dies; its nodes go to another one."""
        self.dead.add(index)
        for node in self.nodes.values():
            if node.core == index and node.is_alive:
                self.join(node, other)

    def turn(self) -> None:
        """A turn of each scheduler."""
        for index, (core, board) in enumerate(zip(self.cores, self.boards, strict=True)):
            if index in self.dead:
                continue
            puts = core.propose(self.now)
            try:
                answer = board.exchange(puts, core.agreement.mark)
            except TemporaryError:
                core.failed()
            else:
                core.settle(puts, answer, self.now)
            core.tell()

    # -- bytes

    def step(self) -> None:
        """Let a quarter of a second pass."""
        alive = self.alive
        busy = [node for node in alive if node.leases and not node.hoards]
        for node in busy:
            self._from_origin(node, min(self.origin.rate / len(busy), node.rate) * STEP)
        room = {name: node.rate * STEP for name, node in (self.nodes | self.far).items()}
        for node in alive:
            if not node.hoards:
                self._from_peers(node, room)
        self.now += STEP
        if self.now % 1.0 < STEP:
            for node in alive:
                self._report(node)

    def _from_origin(self, node: SimNode, budget: float) -> None:
        for id_, lease in tuple(node.leases.items()):
            if budget <= 0:
                return
            size = self._size(lease)
            took = min(budget, size - node.brought[id_])
            budget -= took
            node.brought[id_] += took
            self.origin.sent += round(took)
            if node.brought[id_] < size:
                continue
            del node.leases[id_]
            if lease.digest is None:
                node.proven.update(lease.bundle)
                node.changed.update(lease.bundle)
                for digest in lease.bundle:
                    self._count(digest, 0)
                self.hear(node, messages.HeldUnit(id_))
                continue
            for piece in range(lease.start // PIECE, -(-lease.end // PIECE)):
                node.have[lease.digest] = node.have.get(lease.digest, 0) | 1 << piece
                self._count(lease.digest, piece)
            node.changed.add(lease.digest)
            self._prove(node, lease.digest)
            self.hear(node, messages.HeldUnit(id_))

    def _from_peers(self, node: SimNode, room: dict[str, float]) -> None:
        budget = node.rate * STEP
        for name in node.peers:
            peer = self.nodes.get(name) or self.far.get(name)
            if peer is None or not peer.is_alive or name in node.shunned:
                continue
            for digest in self.listing.places:
                size = self.listing.sizes[digest]
                if digest in peer.proven and digest not in node.proven and min(budget, room[name]) >= size:
                    budget, room[name] = budget - size, room[name] - size
                    node.from_peers += size
                    node.from_far += size * (name in self.far)
                    node.proven.add(digest)
                    node.changed.add(digest)
            for digest in self.listing.large:
                free = peer.have.get(digest, 0) & ~node.have.get(digest, 0)
                while free and budget >= PIECE and room[name] >= PIECE:
                    low = free & -free
                    free ^= low
                    budget, room[name] = budget - PIECE, room[name] - PIECE
                    if peer.alters:
                        self.hear(node, messages.WrongPiece(digest, low.bit_length() - 1, name))
                        break
                    node.from_peers += PIECE
                    node.from_far += PIECE * (name in self.far)
                    node.have[digest] = node.have.get(digest, 0) | low
                    node.changed.add(digest)
                self._prove(node, digest)

    def _report(self, node: SimNode) -> None:
        blobs = tuple(
            messages.BlobProgress(
                digest,
                bytes(Bits(piece_count(self.listing.sizes[digest]), node.have.get(digest, 0))),
                digest in node.proven,
            )
            for digest in node.changed
        )
        node.changed.clear()
        leases = []
        if node.hoards == "says":
            for id_ in node.leases:
                node.brought[id_] += 1
                leases.append(messages.LeaseProgress(id_, round(node.brought[id_]), 10**9))
        for id_ in node.leases if not node.hoards else ():
            brought = node.brought[id_]
            leases.append(messages.LeaseProgress(id_, round(brought), round(brought - node.last.get(id_, 0.0))))
            node.last[id_] = brought
        starves = not node.leases and not node.is_placed and node.from_peers == node.from_peers_before
        node.from_peers_before = node.from_peers
        self.hear(node, messages.Progress(blobs, tuple(leases), starves))
        if node.task and not node.is_placed and self.is_whole(node):
            node.is_placed = True
            self.hear(node, messages.TaskReport(node.task, NodePhase.PLACED))

    # -- what came of it

    def run(self, until: Callable[[], bool] | None = None, most: float = 600.0) -> float:
        """Run until all nodes are through, or this is so. Returns the seconds that it took."""
        begin = self.now
        done = until or self.is_done
        while not done():
            assert self.now - begin < most, f"{sum(map(self.is_whole, self.alive))} of {len(self.alive)} are through"
            self.turn()
            self.step()
        return self.now - begin

    @property
    def alive(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.is_alive]

    def is_done(self) -> bool:
        return all(node.is_placed for node in self.alive)

    def is_whole(self, node: SimNode) -> bool:
        return all(digest in node.proven for digest in self.listing.sizes)

    @property
    def egress(self) -> float:
        """What the origin sent, over the size."""
        return self.origin.sent / self.listing.size

    @property
    def ideal(self) -> float:
        """The seconds that one copy takes."""
        return self.listing.size / self.origin.rate

    def _size(self, lease: messages.Assign) -> int:
        if lease.digest is None:
            return sum(self.listing.sizes[digest] for digest in lease.bundle)
        return lease.end - lease.start

    def _prove(self, node: SimNode, digest: Digest) -> None:
        if node.have.get(digest) == Bits.full(piece_count(self.listing.sizes[digest])).mask:
            node.proven.add(digest)
            node.changed.add(digest)

    def _count(self, digest: Digest, piece: int) -> None:
        self.fetched[digest, piece] = self.fetched.get((digest, piece), 0) + 1
