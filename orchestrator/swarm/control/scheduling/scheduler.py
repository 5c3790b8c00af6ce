"""A scheduler in an event loop: turns of its core with the board, and what submitters and viewers ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from orchestrator.errors import GlmAriaError, NotFoundError, TemporaryError, UsageError
from orchestrator.events import Emit, Notice
from orchestrator.swarm.board.interface import LIFE, BoardAnswer, FleetBoard, Register
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.messages import (
    FromNode,
    FromScheduler,
    NodeStatus,
    Submission,
    TaskStatus,
    Welcome,
    task_of,
)
from orchestrator.swarm.control.scheduling.core import CONNECTIONS, SchedulerCore
from orchestrator.swarm.control.scheduling.desk import Desk
from orchestrator.swarm.control.scheduling.fact_codec import fact_of, is_lock, is_sound
from orchestrator.swarm.control.scheduling.facts import CancelFact, ClaimFact, DrainFact, LockFact
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.control.scheduling.viewing import NodeLoad, loads_of, node_status, task_status, was_here
from orchestrator.swarm.control.sites.exchange import Write, exchange
from orchestrator.swarm.control.stubs import fleet_pb2 as pb

TURN = 0.25
"""Seconds between two turns while nothing happens that cannot wait, if few schedulers share a board."""
_FEW = 16
_LEAST, _MOST = 0.05, 2.0
_SHARE = 8
"""A turn is followed by a rest of so many times what it took of the loop, up to `_MOST`: a ninth of a core, mostly."""
CLAIM = 30.0
"""Seconds for which a node that no scheduler knows may be at a lock file before another one is asked to make it. One
that lives may take longer."""
_TIDY = 600.0
_SAME_REST = 1.0
"""Seconds by which an origin is to be left alone for longer than was told, to be told again."""
_MOST_PRIORITY = 100
_MOST_TASKS = 10_000
_MOST_KIND = 200
_URGENT = (messages.HeldUnit, messages.FailedWork, messages.Join, messages.Bye)


class Scheduler:
    """See `service.Core`. For one event loop, in which `run` runs; only the board is asked in a thread."""

    def __init__(
        self,
        board: FleetBoard,
        name: str,
        emit: Emit,
        *,
        clock: Callable[[], float] = time.monotonic,
        connections: int = CONNECTIONS,
        site: str = "",
    ) -> None:
        self._board = board
        self._emit = emit
        self._clock = clock
        # One that was started again, with the name and the process number of before, is another one.
        self._core = SchedulerCore(f"{name}-{os.urandom(4).hex()}", connections, site)
        self.desk = Desk(self._core, emit, clock)
        self._woken = asyncio.Event()
        self._turned = asyncio.Event()
        self._asking: list[asyncio.Future[None]] = []
        self._is_down = False
        self._is_over = False
        self._ended: dict[str, float] = {}
        self._rests: dict[str, float] = {}
        self._tidied = clock()

    async def run(self) -> None:
        """Take turns until cancelled. Raises what a bug raises: then nodes are told, from now on, that it is gone."""
        try:
            while True:
                took = await self.turn()
                await asyncio.sleep(min(max(_LEAST, _SHARE * took), _MOST))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), turn_of(len(self._core.state.schedulers)))
                self._woken.clear()
        except Exception as error:
            self._end(error)
            raise

    async def turn(self) -> float:
        """Plan, agree with the other schedulers, and tell the nodes. Returns the seconds that the loop was kept."""
        begin = time.monotonic()
        puts = self._core.propose(self._clock())
        asking, self._asking = self._asking, []
        asked = time.monotonic()
        try:
            answer = await asyncio.to_thread(self._exchange, puts)
        except TemporaryError as error:
            answered = time.monotonic()
            self._core.failed()
            self._note_loss(error)
            _answer(asking, error)
        else:
            answered = time.monotonic()
            self._is_down = False
            self._note_left_out(answer.left_out)
            self._core.settle(puts, answer, self._clock())
            self._note_rests()
            _answer(asking)
        self._core.tell()
        self.desk.look()
        self._turned.set()
        self._turned = asyncio.Event()
        self._tidy()
        return (asked - begin) + (time.monotonic() - answered)

    # -- nodes

    def connect(self, hello: messages.Hello, send: Callable[[FromScheduler], None]) -> Welcome:
        """See `service.Core`. Raises TemporaryError for a name that a later node has."""
        self._check()
        self._woken.set()
        return self._core.connect(hello, send, self._clock())

    def hear(self, node: str, epoch: int, seq: int, said: FromNode) -> None:
        """See `service.Core`."""
        self._check()
        self._core.hear(node, epoch, seq, said, self._clock())
        if isinstance(said, _URGENT):
            self._woken.set()

    def leave(self, node: str) -> None:
        """See `service.Core`."""
        self._core.leave(node, self._clock())

    def nodes(self) -> Sequence[NodeStatus]:
        """See `service.Core`."""
        loads = loads_of(self._core.state)
        return tuple(self._node(node, loads) for node in sorted(self._core.state.nodes))

    async def drain(self, node: str) -> NodeStatus:
        """See `service.Core`. Raises TemporaryError while the board is away."""
        record = self._core.state.nodes.get(node)
        if record is None:
            raise NotFoundError(f"no node of the fleet is called {node!r}", hint="glm-aria fleet ls")
        if record.fact.site:
            raise UsageError(
                f"{node} is a node of the site {record.fact.site}",
                hint="glm-aria fleet drain, with --scheduler HOST:PORT of that site",
            )
        self._core.say(DrainFact(node, record.fact.epoch), self._clock())
        await self._agreed()
        return self._node(node, loads_of(self._core.state))

    # -- tasks

    async def ready(self) -> None:
        """See `service.Core`."""
        if self._core.agreement.mark is None:
            await self._agreed()

    async def submit(self, asked: Submission) -> TaskStatus:
        """See `service.Core`. Raises UsageError, UnsafeError, and TemporaryError while the board is away."""
        name = task_of(asked.key)
        known = self._core.state.tasks
        if name not in known and len(known) >= _MOST_TASKS:
            raise TemporaryError(f"the fleet has {len(known)} tasks, which is the most: those that ended are forgotten")
        task = self._core.state.task(name)
        if task.lock is None and asked.lock:
            fact = await asyncio.to_thread(_lock_of, name, asked)
            if self._core.state.task(name).lock is None:  # nobody else gave one meanwhile
                self._core.agreement.wish(fact)
            await self._agreed()
        elif task.lock is None and asked.node not in ("", task.claimed[0]) and not self._is_at_it(*task.claimed):
            self._core.agreement.wish(ClaimFact(name, asked.node))
            await self._agreed()
        status = self._task(name)
        is_yours = task.lock is None and bool(asked.node) and task.claimed[0] == asked.node
        return replace(status, name=status.name or asked.name, is_lock_yours=is_yours)

    def tasks(self) -> Sequence[TaskStatus]:
        """See `service.Core`."""
        found = self._core.state.tasks.items()
        at = {name: task.lock.at if task.lock else 0 for name, task in found}
        return tuple(self._task(name) for name in sorted(at, key=lambda name: (at[name], name)))

    async def changes(self, task: str) -> AsyncIterator[TaskStatus]:
        """See `service.Core`."""
        last: TaskStatus | None = None
        while True:
            turned = self._turned
            status = self._known(task)
            if status != last:
                last = status
                yield status
            if status.state.has_ended:
                return
            self._check()
            await turned.wait()

    async def cancel(self, task: str) -> TaskStatus:
        """See `service.Core`. Raises TemporaryError while the board is away."""
        self._known(task)
        self._core.say(CancelFact(task), self._clock())
        await self._agreed()
        return self._task(task)

    # -- other sites

    async def sync(self, heard: AsyncIterator[pb.StateDelta], write: Write) -> None:
        """See `service.Core`. Raises TemporaryError while the board was never reached."""
        if not self._core.site:
            raise UsageError(
                "this scheduler belongs to no site", hint="give it the name of its site: glm-aria scheduler --site NAME"
            )
        await self.ready()
        await exchange(self.desk, heard, write, is_caller=False)

    # -- parts

    def _exchange(self, puts: Sequence[Register]) -> BoardAnswer:
        """See `FleetBoard.exchange`. For a thread: lock files of others are read here, which may take seconds."""
        answer = self._board.exchange(puts, self._core.agreement.mark)
        for register in answer.news:
            if is_lock(register) and isinstance(fact := fact_of(register), LockFact):
                with contextlib.suppress(GlmAriaError, ValueError, RecursionError):  # `FleetState` sees that, too
                    TaskListing.of(fact.task, fact.lock)
        return answer

    def _check(self) -> None:
        if self._is_over:
            raise _over()

    def _end(self, error: Exception) -> None:
        self._is_over = True
        _answer(self._asking, _over())
        self._turned.set()
        kind = f"{type(error).__name__}: {error}"[:_MOST_KIND]
        words = f"a bug ended the scheduler of this process ({kind}); its nodes are told that it is gone"
        self._emit(Notice("scheduler-ended", words))

    async def _agreed(self) -> None:
        """Wait for a turn that begins after now. Raises TemporaryError when the board is away."""
        self._check()
        future = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        self._woken.set()
        await future

    def _known(self, task: str) -> TaskStatus:
        if task not in self._core.state.tasks:
            raise NotFoundError(f"the fleet has no task {task!r}", hint="glm-aria fleet ls")
        return self._task(task)

    def _is_at_it(self, node: str, since: float) -> bool:
        """True while the node that is to make a lock file since then may still do."""
        record = self._core.state.nodes.get(node)
        if record is None:
            return bool(node) and self._clock() - since <= CLAIM
        return was_here(self._core.state, node, self._clock())

    def _task(self, name: str) -> TaskStatus:
        return task_status(self._core.state, name, self._core.state.task(name), self._clock())

    def _node(self, node: str, loads: Mapping[str, NodeLoad]) -> NodeStatus:
        state = self._core.state
        status = node_status(state, state.nodes[node], loads.get(node, NodeLoad()), self._clock())
        return replace(status, site=status.site or self._core.site)

    def _note_loss(self, error: TemporaryError) -> None:
        if not self._is_down:
            self._is_down = True
            message = f"{error.message}; nodes go on with what they have, and get no new work meanwhile"
            self._emit(Notice("board-lost", message))

    def _note_left_out(self, shelves: Iterable[str]) -> None:
        for shelf in shelves:
            words = f"the board has more of {shelf} than a fleet writes: somebody else does, and it is left out"
            self._emit(Notice("board-shelf", words))

    def _note_rests(self) -> None:
        now = self._clock()
        for host, until in self._core.state.rests.until.items():
            if now < until and until - self._rests.get(host, 0.0) > _SAME_REST:
                words = f"{host} asks the fleet to slow down: for {until - now:.0f} s no node fetches more of it"
                self._emit(Notice("origin-busy", words))
        self._rests = dict(self._core.state.rests.until)

    def _tidy(self) -> None:
        """Forget tasks that ended a day ago: by then the board has forgotten them, too."""
        now, state = self._clock(), self._core.state
        if now - self._tidied < _TIDY:
            return
        self._tidied = now
        over = {name for name, task in state.tasks.items() if not task.listing or self._task(name).state.has_ended}
        self._ended = {name: self._ended.get(name, now) for name in over}
        for name, since in self._ended.items():
            if now - since > LIFE:
                self._core.forget_task(name)


def _lock_of(task: str, asked: Submission) -> LockFact:
    """The lock file of a task, as the board has it. For a thread. Raises UsageError, UnsafeError."""
    TaskListing.of(task, asked.lock)
    priority = min(max(asked.priority, -_MOST_PRIORITY), _MOST_PRIORITY)
    said = asked.name, asked.selector, priority, asked.is_restricted, asked.lock, asked.seal
    fact = LockFact(task, *said, time.time_ns() // 1_000_000)
    if not is_sound(fact):
        raise UsageError(
            "the name or the selector of the task is longer than 512 characters, or its lock file longer than "
            "8 MiB when it is compressed",
            hint="submit fewer models at once",
        )
    return fact


def _answer(asking: Iterable[asyncio.Future[None]], error: Exception | None = None) -> None:
    """End the waiting of these, unless they gave up before."""
    for future in asking:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _over() -> TemporaryError:
    return TemporaryError(
        "a bug ended this scheduler, and its process is still there", hint="start it again, and report what it said"
    )


def turn_of(schedulers: int) -> float:
    """Seconds between two turns of each of so many schedulers: a board gets no more of them than from a few."""
    return min(TURN * max(1.0, schedulers / _FEW), _MOST)
