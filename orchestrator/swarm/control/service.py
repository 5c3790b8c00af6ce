"""The calls of `proto/fleet.proto`, answered by a scheduler: who may, what is well formed, and how much at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import grpc
import grpc.aio

from orchestrator.errors import (
    GlmAriaError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    TemporaryError,
    UsageError,
)
from orchestrator.events import Emit, Notice, ignore
from orchestrator.rpc.calls import Context, address_of, code_of, end_with
from orchestrator.swarm.control import codec, messages, status_codec
from orchestrator.swarm.control.access import HEADER, PROOF, FleetCaller, FleetDoor, FleetRight
from orchestrator.swarm.control.messages import FromNode, FromScheduler, NodeStatus, Submission, TaskStatus, Welcome
from orchestrator.swarm.control.outbox import Outbox
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc

_HELLO = 10.0
"""Seconds within which a node says who it is."""
_SUBMISSION = 20.0
"""Seconds within which all parts of a lock file are there."""
_ACKNOWLEDGE = 5.0
"""Seconds after which a node is told what was heard of it, where there is nothing else to tell."""
_BURST, _RATE = 500.0, 20.0
"""Messages that a node may send at once, and per second. A faster one is read no faster."""
_LOOK = 0.5
"""Seconds between two messages to who watches a task."""
_QUIET, _MOST_NOTED = 60.0, 256
"""Seconds in which a refused address is told once; how many of them."""
_MOST_SITES = 64
"""Connections of other sites."""
_PAGE = 200
"""Nodes in one message."""

STATUS: dict[type[GlmAriaError], grpc.StatusCode] = {
    NotAllowedError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    TemporaryError: grpc.StatusCode.UNAVAILABLE,
    UsageError: grpc.StatusCode.FAILED_PRECONDITION,
}
"""How an error is told to who calls."""

_RIGHTS = {
    "StreamDownloadTask": FleetRight.NODE,
    "SyncState": FleetRight.NODE,
    "SubmitTask": FleetRight.SUBMIT,
    "CancelTask": FleetRight.COMMAND,
    "Drain": FleetRight.COMMAND,
}
"""The rights that calls need; all others, that to look."""
_CALLER: ContextVar[FleetCaller] = ContextVar("caller")
"""Who calls, in the task of a call."""


class Core(Protocol):
    """A scheduler. For one event loop; what is not a coroutine does not wait. Where a bug has ended it, `connect` and
    `hear`, and what waits for it to agree, raise TemporaryError."""

    def connect(self, hello: messages.Hello, send: Callable[[FromScheduler], None]) -> Welcome:
        """A node is there, and is told by `send`, in the place of its connection of before."""

    def hear(self, node: str, epoch: int, seq: int, said: FromNode) -> None:
        """A node says something; what was heard before is dropped."""

    def leave(self, node: str) -> None:
        """The connection of a node broke."""

    async def ready(self) -> None:
        """Wait until it knows what its board has. Raises TemporaryError while that was never reached."""

    async def submit(self, asked: Submission) -> TaskStatus:
        """Make a task, or find that of the same key. Raises UsageError for a lock file that is none."""

    def tasks(self) -> Sequence[TaskStatus]:
        """All tasks that are known, the newest last."""

    def changes(self, task: str) -> AsyncIterator[TaskStatus]:
        """A task as it is, then after each change, until it has ended. Raises NotFoundError."""

    async def cancel(self, task: str) -> TaskStatus:
        """End a task. Raises NotFoundError."""

    def nodes(self) -> Sequence[NodeStatus]:
        """All nodes, by name."""

    async def drain(self, node: str) -> NodeStatus:
        """Give a node no more work. Raises NotFoundError."""

    async def sync(self, heard: AsyncIterator[pb.StateDelta], write: Callable[[pb.StateDelta], Awaitable[Any]]) -> None:
        """Exchange states of nodes with another site, until one of both ends. Raises UsageError without a site."""


class FleetService:
    """Answers calls. `most_streams` nodes may be connected."""

    def __init__(self, core: Core, door: FleetDoor, emit: Emit = ignore, *, most_streams: int = 4096) -> None:
        self._core = core
        self.door = door
        self._most = most_streams
        self._emit = emit
        self._streams: dict[str, Outbox] = {}
        self._sites = 0
        self._refused: dict[str, float] = {}

    @property
    def streams(self) -> int:
        """The number of nodes that are connected."""
        return len(self._streams)

    def add_to(self, server: grpc.aio.Server) -> str:
        """See `RpcService`."""
        fleet_pb2_grpc.add_FleetServicer_to_server(self, server)
        return pb.DESCRIPTOR.services_by_name["Fleet"].full_name

    def listens_at(self, port: int) -> None:
        """See `RpcService`."""
        self.door.port = port

    @contextlib.asynccontextmanager
    async def admitted(self, path: str, context: Context) -> AsyncIterator[None]:
        """Let in who may call this, and prove to it that we have the key: before that, it says nothing."""
        headers = {str(key): str(value) for key, value in context.invocation_metadata() or () if key == HEADER}
        async with self._told(context):
            try:
                caller = self.door.admit(headers, context.peer())
            except NotAllowedError as error:
                self._note_refusal(context.peer(), error)
                raise
            caller.require(_RIGHTS.get(path.rpartition("/")[2], FleetRight.VIEW))
        _CALLER.set(caller)
        await context.send_initial_metadata(((PROOF, caller.proof),))
        yield

    # The names of the calls are those of the service. All of them are admitted before.

    async def StreamDownloadTask(self, requests: AsyncIterator[pb.DownloadRequest], context: Context) -> None:  # noqa: N802
        """Hear a node, and tell it, until one of both ends."""
        async with self._told(context):
            hello = await _hello(requests, _CALLER.get())
            if hello.node not in self._streams and len(self._streams) >= self._most:
                raise TemporaryError(f"{self._most} nodes are connected here, which is the most")
            outbox = Outbox()
            if (former := self._streams.get(hello.node)) is not None:
                former.close()
            self._streams[hello.node] = outbox
            welcome = self._core.connect(hello, outbox.put)
            heard = _Heard(welcome.seen)
            writing = asyncio.create_task(_write(outbox, heard, welcome, context))
            reading = asyncio.create_task(self._read(hello, requests, heard))
            try:
                await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
                for one in (reading, writing):
                    if one.done():
                        one.result()
            finally:
                reading.cancel()
                writing.cancel()
                if self._streams.get(hello.node) is outbox:
                    del self._streams[hello.node]
                    self._core.leave(hello.node)

    async def SubmitTask(self, requests: AsyncIterator[pb.SubmitTaskRequest], context: Context) -> pb.Task:  # noqa: N802
        """Make a task of a lock file, or find one by its key."""
        async with self._told(context):
            try:
                async with asyncio.timeout(_SUBMISSION):
                    asked = await codec.submission(requests)
            except TimeoutError:
                raise ProtocolError(f"a task was not submitted within {_SUBMISSION:.0f} s") from None
            await asyncio.to_thread(self.door.require_seal, asked)
            return status_codec.task(await self._core.submit(asked))

    async def WatchTask(self, asked: pb.TaskRef, context: Context) -> None:  # noqa: N802
        """Tell a task, each time the nodes that changed."""
        async with self._told(context):
            known: dict[str, messages.TaskReport] = {}
            async for status in self._core.changes(asked.id):
                fresh = {node: told for node, told in status.nodes.items() if known.get(node) != told}
                known |= fresh
                for part in status_codec.task_parts(status, fresh):
                    await context.write(part)
                await asyncio.sleep(0 if status.state.has_ended else _LOOK)

    async def CancelTask(self, asked: pb.TaskRef, context: Context) -> pb.Task:  # noqa: N802
        """End a task."""
        async with self._told(context):
            return status_codec.task(await self._core.cancel(asked.id))

    async def ListNodes(self, asked: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:  # noqa: N802
        """Tell a page of the nodes."""
        async with self._told(context):
            found = [node for node in self._core.nodes() if node.id > asked.after]
            page = map(status_codec.node, found[:_PAGE])
            return pb.ListNodesResponse(nodes=page, has_more=len(found) > _PAGE)

    async def ListTasks(self, _asked: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:  # noqa: N802
        """Tell the newest tasks, without their nodes."""
        async with self._told(context):
            return pb.ListTasksResponse(tasks=map(status_codec.task, self._core.tasks()[-_PAGE:]))

    async def Drain(self, asked: pb.NodeRef, context: Context) -> pb.Node:  # noqa: N802
        """Give a node no more work."""
        async with self._told(context):
            return status_codec.node(await self._core.drain(asked.id))

    async def SyncState(self, requests: AsyncIterator[pb.StateDelta], context: Context) -> None:  # noqa: N802
        """Exchange states of nodes with another site."""
        async with self._told(context):
            if self._sites >= _MOST_SITES:
                raise TemporaryError(f"{_MOST_SITES} sites are linked here, which is the most")
            self._sites += 1
            try:
                await self._core.sync(requests, context.write)
            finally:
                self._sites -= 1

    def _note_refusal(self, peer: str, error: NotAllowedError) -> None:
        """Tell that one at an address was refused, once a minute each: it may ask twice a second."""
        address, now = address_of(peer), time.monotonic()
        self._refused = {one: since for one, since in self._refused.items() if now - since < _QUIET}
        if address not in self._refused and len(self._refused) < _MOST_NOTED:
            self._refused[address] = now
            self._emit(Notice("caller-refused", f"{address} was refused: {error.message}"))

    @contextlib.asynccontextmanager
    async def _told(self, context: Context) -> AsyncIterator[None]:
        """Tell who calls of an error."""
        try:
            yield
        except GlmAriaError as error:
            await end_with(context, code_of(error, STATUS), error)

    async def _read(self, hello: messages.Hello, requests: AsyncIterator[pb.DownloadRequest], heard: _Heard) -> None:
        allowed, last = _BURST, time.monotonic()
        async for found in requests:
            said = codec.said(found)
            if isinstance(said, messages.Hello):
                raise ProtocolError("a node says who it is once on a connection")
            self._core.hear(hello.node, hello.epoch, found.seq, said)
            heard.seq = max(heard.seq, found.seq)
            now = time.monotonic()
            allowed, last = min(_BURST, allowed + (now - last) * _RATE) - 1, now
            if allowed < 0:
                await asyncio.sleep(-allowed / _RATE)
            if isinstance(said, messages.Bye):
                return


class _Heard:
    """The number of the last message that was heard."""

    def __init__(self, seq: int) -> None:
        self.seq = seq


async def _hello(requests: AsyncIterator[pb.DownloadRequest], caller: FleetCaller) -> messages.Hello:
    try:
        async with asyncio.timeout(_HELLO):
            said = codec.said(await anext(requests))
    except (TimeoutError, StopAsyncIteration):
        raise ProtocolError("a node did not say who it is") from None
    if not isinstance(said, messages.Hello):
        raise ProtocolError("the first message of a node says who it is")
    if said.node != caller.name:
        raise NotAllowedError(f"the ticket is one of {caller.name}, and the node says that it is {said.node}")
    return said


async def _write(outbox: Outbox, heard: _Heard, welcome: Welcome, context: Context) -> None:
    for sent in codec.statuses(heard.seq, welcome):
        await context.write(sent)
    told = heard.seq
    while not outbox.is_closed:
        waiting = await outbox.take(_ACKNOWLEDGE)
        if outbox.is_full:
            raise TemporaryError("the node reads more slowly than it is told: it shall connect again")
        for one in waiting:
            for sent in codec.statuses(heard.seq, one):
                await context.write(sent)
        if not waiting and told != heard.seq:
            await context.write(pb.DownloadStatus(seen=heard.seq))
        told = heard.seq
