"""Lines of a node to schedulers: by gRPC, or within the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import grpc
import grpc.aio

from orchestrator.errors import GlmAriaError, NotAllowedError, ProtocolError, TemporaryError
from orchestrator.rpc.credentials import TlsFiles, channel_to
from orchestrator.swarm.control import codec, messages, status_codec
from orchestrator.swarm.control.access import HEADER, PROOF, Introduction, ShowTo
from orchestrator.swarm.control.messages import FromNode, FromScheduler, NodeStatus, Submission, TaskStatus
from orchestrator.swarm.control.outbox import Outbox
from orchestrator.swarm.control.service import STATUS, Core
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc

_ANSWER = 10.0
"""Seconds for a call that is answered at once."""
_PROOF = 4.0
"""Seconds for a scheduler to prove that it has the key."""
_REFUSAL = 1.0
"""Seconds for the end of a call that has begun without a proof."""
_ERRORS: dict[grpc.StatusCode, type[GlmAriaError]] = {
    **{code: kind for kind, code in STATUS.items()},
    grpc.StatusCode.UNAUTHENTICATED: NotAllowedError,
    grpc.StatusCode.UNIMPLEMENTED: ProtocolError,
}


_REFUSALS = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


_AGAIN = "the nodes go on without it; look again: glm-aria fleet ls"
_ENDED = ("the scheduler {} ended the connection", _AGAIN)
_UNKNOWN = ("the name in {} is not known here", "write it as this machine knows it, or the address: HOST:PORT")
_OF_THE_LINE = {
    "failed to connect": ("no scheduler answers at {}", "is it running? glm-aria scheduler --help"),
    "errors resolving": _UNKNOWN,
    "resolution failed": _UNKNOWN,
    "deadline exceeded": ("the scheduler {} does not answer in time", _AGAIN),
    **dict.fromkeys(
        (
            "socket closed",
            "stream removed",
            "cancelling all calls",
            "goaway",
            "reset by peer",
            "broken pipe",
            "keepalive",
        ),
        _ENDED,
    ),
}
"""What gRPC says of a line, by a part of it in small letters, in our words."""


class SchedulerLine(Protocol):
    """A connection of a node. `heard` ends when the other side does; all raise errors of `errors`."""

    async def say(self, seq: int, said: FromNode) -> None:
        """Say something, with its number."""

    def heard(self) -> AsyncIterator[tuple[int, FromScheduler | None]]:
        """All that is told, each time with the number up to which the node was heard."""


class FleetCalls(Protocol):
    """The calls to a fleet beside the long one of a node."""

    async def submit(self, asked: Submission) -> TaskStatus:
        """See `Core.submit`."""

    def watch(self, task: str) -> AsyncIterator[TaskStatus]:
        """See `Core.changes`; each time with all nodes."""

    async def cancel(self, task: str) -> TaskStatus:
        """See `Core.cancel`."""

    async def tasks(self) -> tuple[TaskStatus, ...]:
        """See `Core.tasks`."""

    async def nodes(self) -> tuple[NodeStatus, ...]:
        """See `Core.nodes`."""

    async def drain(self, node: str) -> NodeStatus:
        """See `Core.drain`."""


class Scheduled(Protocol):
    """A scheduler as a node sees it. `name` is for people."""

    @property
    def name(self) -> str: ...

    def line(self, hello: messages.Hello) -> AbstractAsyncContextManager[SchedulerLine]:
        """A line of this node."""

    def calls(self) -> AbstractAsyncContextManager[FleetCalls]:
        """Other calls."""


@dataclass(frozen=True, slots=True)
class RemoteScheduler:
    """The scheduler at an address (`HOST:PORT`). Nothing that it says is believed, and nothing is said to it on a
    stream, before it has proven to `show` what it has to; a call without a stream asks for no more than names."""

    name: str
    files: TlsFiles
    show: ShowTo

    @contextlib.asynccontextmanager
    async def line(self, hello: messages.Hello) -> AsyncIterator[SchedulerLine]:
        """See `Scheduled`."""
        async with channel_to(self.name, self.files) as channel:
            shown = self.show(self.name)
            call = fleet_pb2_grpc.FleetStub(channel).StreamDownloadTask(metadata=((HEADER, shown.header),))
            line = _RemoteLine(self.name, call)
            try:
                await prove(self.name, call, shown)
                await line.say(0, hello)
                yield line
            finally:
                call.cancel()

    @contextlib.asynccontextmanager
    async def calls(self) -> AsyncIterator[FleetCalls]:
        """See `Scheduled`."""
        async with channel_to(self.name, self.files) as channel:
            yield _RemoteCalls(self.name, fleet_pb2_grpc.FleetStub(channel), self.show)


class _RemoteLine:
    def __init__(self, name: str, call: Any) -> None:
        self._name = name
        self._call = call

    async def say(self, seq: int, said: FromNode) -> None:
        with translated(self._name):
            await self._call.write(codec.request(seq, said))

    async def heard(self) -> AsyncIterator[tuple[int, FromScheduler | None]]:
        told = codec.Told()
        with translated(self._name):
            while (found := await self._call.read()) is not grpc.aio.EOF:
                yield found.seen, told.read(found)


class _RemoteCalls:
    def __init__(self, name: str, stub: Any, show: ShowTo) -> None:
        self._name = name
        self._stub = stub
        self._show = show

    async def submit(self, asked: Submission) -> TaskStatus:
        with translated(self._name):
            proven = asyncio.Event()
            call = await self._begun(self._stub.SubmitTask, _parts(asked, proven), timeout=_ANSWER * 3)
            proven.set()
            return status_codec.told_task(await call)

    async def watch(self, task: str) -> AsyncIterator[TaskStatus]:
        nodes: dict[str, messages.TaskReport] = {}
        with translated(self._name):
            async for found in await self._begun(self._stub.WatchTask, pb.TaskRef(id=task)):
                status = status_codec.told_task(found)
                nodes |= status.nodes
                if not found.has_more:
                    yield replace(status, nodes=dict(nodes))

    async def cancel(self, task: str) -> TaskStatus:
        with translated(self._name):
            return status_codec.told_task(await self._once(self._stub.CancelTask, pb.TaskRef(id=task)))

    async def tasks(self) -> tuple[TaskStatus, ...]:
        with translated(self._name):
            found = await self._once(self._stub.ListTasks, pb.ListTasksRequest())
            return tuple(map(status_codec.told_task, found.tasks))

    async def nodes(self) -> tuple[NodeStatus, ...]:
        nodes: list[NodeStatus] = []
        with translated(self._name):
            while True:
                after = nodes[-1].id if nodes else ""
                page = await self._once(self._stub.ListNodes, pb.ListNodesRequest(after=after))
                nodes += map(status_codec.told_node, page.nodes)
                if not page.has_more:
                    return tuple(nodes)

    async def drain(self, node: str) -> NodeStatus:
        with translated(self._name):
            return status_codec.told_node(await self._once(self._stub.Drain, pb.NodeRef(id=node)))

    async def _once(self, method: Any, asked: Any) -> Any:
        return await (await self._begun(method, asked, timeout=_ANSWER))

    async def _begun(self, method: Any, *asked: Any, timeout: float | None = None) -> Any:
        """A call to one who has proven the key."""
        shown = self._show(self._name)
        call = method(*asked, metadata=((HEADER, shown.header),), timeout=timeout)
        await prove(self._name, call, shown)
        return call


@dataclass(frozen=True, slots=True)
class LocalScheduler:
    """A scheduler in the event loop of this process."""

    core: Core
    name: str = "this process"

    @contextlib.asynccontextmanager
    async def line(self, hello: messages.Hello) -> AsyncIterator[SchedulerLine]:
        """See `Scheduled`."""
        outbox = Outbox()
        welcome = self.core.connect(hello, outbox.put)
        try:
            yield _LocalLine(self.core, hello, welcome, outbox)
        finally:
            outbox.close()
            self.core.leave(hello.node)

    @contextlib.asynccontextmanager
    async def calls(self) -> AsyncIterator[FleetCalls]:
        """See `Scheduled`. Raises TemporaryError while its board was never reached: it knows nothing yet."""
        await self.core.ready()
        yield _LocalCalls(self.core)


class _LocalLine:
    def __init__(self, core: Core, hello: messages.Hello, welcome: messages.Welcome, outbox: Outbox) -> None:
        self._core = core
        self._hello = hello
        self._welcome = welcome
        self._outbox = outbox
        self._seen = welcome.seen

    async def say(self, seq: int, said: FromNode) -> None:
        if self._outbox.is_closed:  # it has said goodbye
            return
        self._core.hear(self._hello.node, self._hello.epoch, seq, said)
        self._seen = max(self._seen, seq)
        if isinstance(said, messages.Bye):
            self._outbox.close()

    async def heard(self) -> AsyncIterator[tuple[int, FromScheduler | None]]:
        yield self._seen, self._welcome
        while not self._outbox.is_closed:
            if self._outbox.is_full:
                raise TemporaryError("this process is told more than it reads")
            for told in await self._outbox.take(1.0):
                yield self._seen, told


class _LocalCalls:
    def __init__(self, core: Core) -> None:
        self._core = core

    async def submit(self, asked: Submission) -> TaskStatus:
        return await self._core.submit(asked)

    def watch(self, task: str) -> AsyncIterator[TaskStatus]:
        return self._core.changes(task)

    async def cancel(self, task: str) -> TaskStatus:
        return await self._core.cancel(task)

    async def tasks(self) -> tuple[TaskStatus, ...]:
        return tuple(self._core.tasks())

    async def nodes(self) -> tuple[NodeStatus, ...]:
        return tuple(self._core.nodes())

    async def drain(self, node: str) -> NodeStatus:
        return await self._core.drain(node)


async def _parts(asked: Submission, proven: asyncio.Event) -> AsyncIterator[pb.SubmitTaskRequest]:
    await proven.wait()
    for part in codec.submissions(asked):
        yield part


async def prove(name: str, call: Any, shown: Introduction) -> None:
    """Wait until the other side has proven to have the key. Raises NotAllowedError when it does not, and what else
    ended the call; the call is at an end then."""
    proof = code = None
    is_proven = False
    try:
        async with asyncio.timeout(_PROOF):
            proof = dict(await call.initial_metadata() or ()).get(PROOF)
        is_proven = proof is not None and shown.is_proven(str(proof))
        if is_proven:
            return
        if proof is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFUSAL):
                    code = await call.code()
    except TimeoutError:
        raise TemporaryError(f"the scheduler {name} does not answer", source=name) from None
    finally:
        if not is_proven:
            call.cancel()
    if code is None or code is grpc.StatusCode.OK:
        raise NotAllowedError(
            f"what answers at {name} does not prove that it has the key of the fleet: nothing was told to it",
            hint="is it a scheduler of this fleet, and of this version?",
            source=name,
        )
    if code in _REFUSALS and shown.is_of_key:
        raise NotAllowedError(
            f"the scheduler {name} does not let us in: it has another key of the fleet, one of the two clocks is wrong "
            f"by minutes, or it does not know that it is called {name}",
            hint="glm-aria fleet key --help; or set fleet.hosts there",
            source=name,
        )
    raise error_of(name, code, await call.details())


@contextlib.contextmanager
def translated(name: str) -> Any:
    """Translate the errors of calls to the scheduler of this name."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_of(name, error.code(), error.details()) from error
    except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:  # it ended while we spoke
        raise TemporaryError(f"the scheduler {name} ended the connection", source=name) from error


def error_of(name: str, code: grpc.StatusCode, details: str | None) -> GlmAriaError:
    """The error for a call of the scheduler `name` that ended so."""
    said = details or code.name.lower()
    for part, (words, hint) in _OF_THE_LINE.items():
        if part in said.lower():
            return TemporaryError(words.format(name), hint=hint, source=name)
    kind = _ERRORS.get(code, TemporaryError)
    return kind(f"the scheduler {name}: {said}", hint=_AGAIN if kind is TemporaryError else None, source=name)
