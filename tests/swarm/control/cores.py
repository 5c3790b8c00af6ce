"""A scheduler that notes what it hears, for tests of what carries its words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.errors import NotFoundError
from orchestrator.swarm.control.messages import (
    FromNode,
    FromScheduler,
    Hello,
    NodeStatus,
    Submission,
    TaskState,
    TaskStatus,
    Welcome,
)
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.view import NodeState


class NotingCore:
    """Notes what is said; a test tells nodes by `sends`."""

    def __init__(self, beat: int = 50) -> None:
        self.beat = beat
        self.said: list[tuple[str, int, FromNode]] = []
        self.hellos: list[Hello] = []
        self.left: list[str] = []
        self.sends: dict[str, Callable[[FromScheduler], None]] = {}
        self.seen: dict[tuple[str, int], int] = {}
        self.known: dict[str, TaskStatus] = {}
        self.changed = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something has been said that makes it so."""
        async with asyncio.timeout(20):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    def heard(self, kind: type[FromNode]) -> list[FromNode]:
        """All messages of a kind."""
        return [said for _, _, said in self.said if isinstance(said, kind)]

    def connect(self, hello: Hello, send: Callable[[FromScheduler], None]) -> Welcome:
        self.hellos.append(hello)
        self.sends[hello.node] = send
        self.changed.set()
        return Welcome("noting", self.beat, self.seen.get((hello.node, hello.epoch), 0))

    def hear(self, node: str, epoch: int, seq: int, said: FromNode) -> None:
        if seq > self.seen.get((node, epoch), 0):
            self.seen[node, epoch] = seq
            self.said.append((node, seq, said))
            self.changed.set()

    def leave(self, node: str) -> None:
        self.left.append(node)
        self.sends.pop(node, None)
        self.changed.set()

    async def ready(self) -> None:
        pass

    async def submit(self, asked: Submission) -> TaskStatus:
        made = TaskStatus(asked.key, asked.name, TaskState.SUBMITTED, len(asked.lock))
        return self.known.setdefault(asked.key, made)

    def tasks(self) -> Sequence[TaskStatus]:
        return tuple(self.known.values())

    async def changes(self, task: str) -> AsyncIterator[TaskStatus]:
        while not (status := self._task(task)).state.has_ended:
            yield status
            await asyncio.sleep(0.01)
        yield status

    async def cancel(self, task: str) -> TaskStatus:
        self.known[task] = replace(self._task(task), state=TaskState.CANCELLED)
        return self.known[task]

    def nodes(self) -> Sequence[NodeStatus]:
        return tuple(NodeStatus(name, 1, 1, "", NodeState.READY) for name in sorted(self.sends))

    async def drain(self, node: str) -> NodeStatus:
        if node not in self.sends:
            raise NotFoundError(f"there is no node {node}")
        return NodeStatus(node, 1, 1, "", NodeState.DRAINING)

    async def sync(self, heard: AsyncIterator[pb.StateDelta], write: Callable[[pb.StateDelta], Awaitable[Any]]) -> None:
        async for delta in heard:
            await write(delta)

    def _task(self, task: str) -> TaskStatus:
        if task not in self.known:
            raise NotFoundError(f"there is no task {task}")
        return self.known[task]
