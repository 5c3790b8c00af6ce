"""The core of a scheduler: hears its nodes, plans with what the board says, and tells its nodes. It is given the time.

A turn is `propose`, an exchange with the board, then `settle` or `failed`, then `tell`. Nodes are heard at any
time. Every scheduler of a fleet plans for all nodes, and carries out what concerns those that are connected to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count

from orchestrator.core.files import MAX_SIZE
from orchestrator.errors import ProtocolError, TemporaryError
from orchestrator.swarm.board.interface import BoardAnswer, Register
from orchestrator.swarm.control.messages import DrainOrder, FromNode, FromScheduler, Hello, Progress, Shunned, Welcome
from orchestrator.swarm.control.scheduling import hearing
from orchestrator.swarm.control.scheduling.abroad import Abroad
from orchestrator.swarm.control.scheduling.agreement import BoardWords
from orchestrator.swarm.control.scheduling.around import Around
from orchestrator.swarm.control.scheduling.fact_codec import FLEET, Key, is_sound, key_of
from orchestrator.swarm.control.scheduling.facts import (
    DrainFact,
    Fact,
    FilesFact,
    HaveFact,
    LeaseFact,
    NodeFact,
    RestFact,
    SchedulerFact,
)
from orchestrator.swarm.control.scheduling.state import FleetState
from orchestrator.swarm.control.scheduling.telling import Connection, Knowledge, tell
from orchestrator.swarm.control.scheduling.viewing import RunningTask, running_tasks, view_of
from orchestrator.swarm.leasing import rest_after
from orchestrator.swarm.plan import EVICT_AFTER, plan
from orchestrator.swarm.trust import LOST_AFTER, distrusted_nodes
from orchestrator.swarm.units import Bits, Unit
from orchestrator.swarm.view import Evict, FleetAction, Lease, NodeState, Peers, Revoke

BROKEN_AFTER = 2.0
"""Seconds after which a node whose connection broke counts as lost."""
UNFIT_FOR = 5.0
"""Seconds for which a node gets no more of what it just could not fetch."""
_AFTER_REST = 60.0
"""Seconds for which it is remembered that an origin was left alone: nothing came meanwhile, by nobody's fault."""
CONNECTIONS = 32
"""Leases of one origin at once, in the whole fleet."""
_BEAT, _SLOWEST_BEAT = 1000, 2500
"""Milliseconds between two beats of a node: longer where many say something, and well below what makes one lost."""
_BEATS = 4000
"""Beats a second of a whole fleet."""
_SIGN = 1.0
"""Seconds between two signs of life on the board."""


class SchedulerCore:
    """One scheduler, by its `name`, which no other has, at a `site`. Not thread-safe. `abroad` is told what other sites
    say."""

    def __init__(self, name: str, connections: int = CONNECTIONS, site: str = "") -> None:
        self.name = name
        self.site = site
        self.abroad = Abroad()
        self.state = FleetState()
        self.agreement = BoardWords()
        self._limit = connections
        self._connections: dict[str, Connection] = {}
        self._numbers = count(1)
        self._unfit: dict[tuple[str, str], float] = {}
        self._may_leave: set[str] = set()
        self._shunned = Shunned()
        self._signed = float("-inf")
        self._doubted: frozenset[str] = frozenset()

    # -- nodes

    def connect(self, hello: Hello, send: Callable[[FromScheduler], None], now: float) -> Welcome:
        """Begin with a node that is there, in the place of its connection of before.

        Raises ProtocolError for words that are too long, and TemporaryError for the name of a node that began later.
        """
        record = self.state.nodes.get(hello.node)
        known = record.fact if record else None
        if known is not None and known.epoch > hello.epoch:
            raise TemporaryError(
                f"a node that began later than this one is called {hello.node!r}, too",
                hint="is another one running on the same cache? And check the clock of this machine",
            )
        fact = hearing.welcomed(self.name, hello, known)
        if not is_sound(fact):
            raise ProtocolError("a node says who it is in words that are too long, or with a name that is none")
        self._connections[hello.node] = Connection(hello, send, now, leases=set(hello.leases))
        self._may_leave.discard(hello.node)
        self._say(fact, now)
        self.state.nodes[hello.node].count(now)
        beat = min(max(_BEAT, len(self.state.nodes) * _BEAT // _BEATS), _SLOWEST_BEAT)
        return Welcome(self.name, beat, fact.seq)

    def hear(self, node: str, epoch: int, seq: int, said: FromNode, now: float) -> None:
        """Take what a node says; what was heard before, by whichever scheduler, is dropped."""
        connection = self._connections.get(node)
        if connection is None or connection.hello.epoch != epoch:
            return
        if node not in self.state.nodes or self.state.nodes[node].fact.site:  # somebody took it for lost, or moved
            self._say(hearing.welcomed(self.name, connection.hello, None), now)
        record = self.state.nodes[node]
        if record.fact.epoch != epoch:
            return
        connection.heard, connection.is_ours = now, True
        if not record.fact.seq < seq <= MAX_SIZE:
            return
        pace = self.state.pace(record, now)
        known = record.fact if pace == record.fact.pace else replace(record.fact, pace=pace)
        fact, heard = hearing.hear(self.state, known, said, now)
        if isinstance(said, Progress):
            record.count(now)
        before = [id_ for id_ in connection.leases if self.state.lease(id_)]
        state = NodeState.READY if fact.state is NodeState.LOST else fact.state
        self._say(replace(fact, seq=seq, scheduler=self.name, state=state), now)
        for word in heard.words:
            if isinstance(word, HaveFact | FilesFact) or is_sound(word):
                self._say(word, now)
        if fact.stalls and any(self.state.lease(id_) is None for id_ in before):  # it brought all of it
            self._say(replace(self.state.nodes[node].fact, stalls=0), now)
        for lease in heard.frees:
            self.agreement.wish(lease)
            connection.ended.add(lease.id)
            self._unfit[str(lease.good), node] = now + UNFIT_FOR
        connection.ended |= {id_ for id_ in connection.leases if self.state.lease(id_) is None}

    def leave(self, node: str, now: float) -> None:
        """Note that the connection of a node broke."""
        if (connection := self._connections.get(node)) is not None:
            connection.left = now

    def say(self, fact: Fact, now: float) -> None:
        """Have a fact be so that nobody disputes."""
        self._say(fact, now)

    def take_doubts(self) -> frozenset[str]:
        """The sites that were found to be out of reach since this was asked."""
        found, self._doubted = self._doubted, frozenset()
        return found

    def forget_task(self, name: str) -> None:
        """Forget a task and its blobs."""
        for shelf in (f"task:{name}", *map(str, self.state.forget_task(name))):
            self.agreement.forget(shelf)

    # -- a turn

    def propose(self, now: float) -> list[Register]:
        """Plan, and say what to put on the board."""
        self._notice_silence(now)
        self._hear_sites(now)
        for host in self.state.rests.forget(now - _AFTER_REST):
            self.agreement.remove(key_of(RestFact(host, 0)))
        self._unfit = {key: until for key, until in self._unfit.items() if now < until}
        around = Around.of(self.state, self.site, self.abroad.unreachable(now))
        view = view_of(self.state, running_tasks(self.state), self._unfit.keys(), self._limit, now, around=around)
        self._doubted |= self.abroad.doubt(view, self.state, now)
        self._shunned = Shunned(tuple(sorted(distrusted_nodes(view, now))))
        self._decide(plan(view, now), now)
        if now - self._signed >= _SIGN:
            self._signed = now
            for sign in (SchedulerFact(self.name), *self.abroad.signs(now)):
                self._say(sign, now)
        return self.agreement.puts()

    def settle(self, puts: Iterable[Register], answer: BoardAnswer, now: float) -> None:
        """Take the board's answer to what was proposed."""
        # Those of whom only a board tells where nobody was for long are gone.
        heard = now - 2 * LOST_AFTER if answer.is_whole and answer.is_quiet else now
        self.agreement.settle(puts, answer, lambda key, fact: self._learn(key, fact, heard))

    def failed(self) -> None:
        """Go on with what is known: the board could not be reached."""
        self.agreement.failed()

    def tell(self) -> None:
        """Tell each node what is new to it."""
        tasks = running_tasks(self.state)
        leases = self._leases(tasks)
        for node, connection in self._connections.items():
            if connection.left is not None or not connection.is_ours or node not in self.state.nodes:
                continue
            drain = DrainOrder(node in self._may_leave) if self.state.is_draining(node) else None
            tell(self.state, node, connection, Knowledge(leases.get(node, {}), tasks, self._shunned, drain))

    # -- what a plan means

    def _decide(self, actions: Iterable[FleetAction], now: float) -> None:
        for action in actions:
            match action:
                case Lease():
                    if self._is_mine(action.node):
                        self.agreement.wish(self._lease(action))
                case Revoke():
                    if self._is_mine(action.lease.node) or self._is_nobodys(action.lease.node):
                        self.agreement.wish(replace(self._lease(action.lease), node=""))
                        self._stalled(action, now)
                case Peers():
                    if self._is_mine(action.node):
                        self._say(replace(self.state.nodes[action.node].fact, peers=action.peers), now)
                case Evict():
                    self._evict(action.node, now)

    def _stalled(self, action: Revoke, now: float) -> None:
        """Count that nothing came of leases, once for those that end together."""
        record = self.state.nodes.get(action.lease.node)
        if record is None or not action.is_stalled or not self._is_mine(action.lease.node):
            return
        if now >= record.stalled + rest_after(record.fact.stalls):
            self._say(replace(record.fact, stalls=record.fact.stalls + 1), now)

    def _lease(self, action: Lease) -> LeaseFact:
        work, id_ = action.work, f"{self.name}-{next(self._numbers)}"
        epoch = self.state.nodes[action.node].fact.epoch if action.node in self.state.nodes else 0
        if isinstance(work, Unit):
            return LeaseFact(work.digest, work.index, id_, action.node, epoch, work.start, work.end)
        return LeaseFact(work.task, work.index, id_, action.node, epoch)

    def _evict(self, node: str, now: float) -> None:
        record = self.state.nodes[node]
        if self._is_mine(node) and record.fact.state is not NodeState.GONE:
            if not self.state.is_at_work(node):
                self._may_leave.add(node)
        elif self._is_mine(node) or self._is_nobodys(node):
            self.agreement.remove(key_of(record.fact))
            # One that only its scheduler was thought to have lost comes back, and is to leave still.
            is_lost = record.fact.state in (NodeState.LOST, NodeState.GONE)
            if is_lost or now - self.state.beat(record) > EVICT_AFTER:
                for fact in (DrainFact(node, 0), *self._words_of(node)):
                    self.agreement.remove(key_of(fact))

    def _words_of(self, node: str) -> Iterator[HaveFact | FilesFact]:
        """The registers of what a node said that it has, by name only."""
        for digest, blob in self.state.blobs.items():
            if node in blob.have:
                yield HaveFact(digest, 0, node, 0, Bits(0))
        for name, task in self.state.tasks.items():
            if node in task.files:
                yield FilesFact(name, node, 0, Bits(0))

    def _is_mine(self, node: str) -> bool:
        connection = self._connections.get(node)
        return connection is not None and connection.is_ours and node in self.state.nodes

    def _is_nobodys(self, node: str) -> bool:
        """True if the node is known to be lost, or its scheduler is."""
        record = self.state.nodes.get(node)
        if record is None or record.fact.state in (NodeState.LOST, NodeState.GONE):
            return True
        return record.fact.scheduler not in self.state.schedulers and node not in self._connections

    # -- what is so

    def _leases(self, tasks: Iterable[RunningTask]) -> dict[str, dict[str, LeaseFact]]:
        """The leases of running tasks by their nodes and ids."""
        running = {task.name for task in tasks} | {digest for task in tasks for digest in task.listing.large}
        found: dict[str, dict[str, LeaseFact]] = {}
        for record in self.state.leases():
            lease = record.fact
            connection = self._connections.get(lease.node)
            if connection is not None and connection.hello.epoch == lease.epoch and lease.good in running:
                found.setdefault(lease.node, {})[lease.id] = lease
        return found

    # -- facts

    def _hear_sites(self, now: float) -> None:
        """Take what follows from the words of other sites; a node that is connected here speaks for itself."""
        for fact in self.abroad.facts(self.state):
            connection = self._connections.get(fact.node)
            if connection is not None and connection.left is None and connection.hello.epoch >= fact.epoch:
                continue
            if is_sound(fact):
                self._say(fact, now)
        for sign in self.abroad.signs(now):
            if sign.name not in self.state.schedulers:
                self._say(sign, now)

    def _say(self, fact: Fact, now: float) -> None:
        self.state.apply(fact, now)
        self.agreement.say(fact)

    def _learn(self, key: Key, fact: Fact | None, now: float) -> None:
        if fact is None:
            shelf, (kind, _, node) = key[0], key[1].partition(":")
            if shelf == FLEET and kind == "node":
                self._removed(node, now)
            elif shelf == FLEET and kind == "drain":
                self.state.undrain(node)
            return
        if isinstance(fact, NodeFact) and (connection := self._connections.get(fact.node)) is not None:
            if fact.epoch < connection.hello.epoch:
                return
            connection.is_ours = fact.scheduler == self.name
        self.state.apply(fact, now)

    def _removed(self, node: str, now: float) -> None:
        record, connection = self.state.nodes.get(node), self._connections.get(node)
        is_here = connection is not None and connection.left is None and connection.is_ours
        if record is not None and is_here and record.fact.state is not NodeState.GONE:
            self._say(record.fact, now)
        else:
            self.state.remove_node(node)

    def _notice_silence(self, now: float) -> None:
        for node, connection in tuple(self._connections.items()):
            record = self.state.nodes.get(node)
            is_broken = connection.left is not None and now - connection.left >= BROKEN_AFTER
            if is_broken:
                del self._connections[node]
            if record is None or not connection.is_ours or record.fact.state in (NodeState.LOST, NodeState.GONE):
                continue
            if is_broken or now - connection.heard > LOST_AFTER:
                self._say(replace(record.fact, state=NodeState.LOST), now)
        for name in self.state.forget_schedulers(now - LOST_AFTER) - {self.name}:
            self.agreement.remove(key_of(SchedulerFact(name)))
