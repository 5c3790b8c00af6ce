"""The calls of `proto/registry.proto`, answered by the registry of a server, by its door and its table of rights."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from contextvars import ContextVar
from functools import partial
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from orchestrator.core.refs import RepoId
from orchestrator.core.text import redacted
from orchestrator.errors import (
    ConflictError,
    GateError,
    GlmAriaError,
    NoSpaceError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    UsageError,
)
from orchestrator.events import Emit, Notice
from orchestrator.registry.core import Registry
from orchestrator.registry.names import model_named
from orchestrator.rpc.calls import Context, address_of, code_of, end_with
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.http.exchange import Exchange, Observer, observed
from orchestrator.serve.http.once import ClientTurns
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.registry.following import Following
from orchestrator.serve.registry.rpc import codec
from orchestrator.serve.registry.rpc.stubs import registry_pb2 as pb
from orchestrator.serve.registry.rpc.stubs import registry_pb2_grpc

T = TypeVar("T")
_CODES: Mapping[type[GlmAriaError], grpc.StatusCode] = {
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    NotAllowedError: grpc.StatusCode.PERMISSION_DENIED,
    # Read again, and decide again: a test-and-set that failed.
    ConflictError: grpc.StatusCode.ABORTED,
    # To call again is of no use before the version, or the rule, is another one.
    GateError: grpc.StatusCode.FAILED_PRECONDITION,
    NoSpaceError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    TemporaryError: grpc.StatusCode.UNAVAILABLE,
    SourcesDownError: grpc.StatusCode.UNAVAILABLE,
    ProtocolError: grpc.StatusCode.UNAVAILABLE,
}
"""How an error is told to who calls."""
_REFUSALS: Mapping[int, grpc.StatusCode] = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""The same of refusals at the door, by their statuses of HTTP."""
_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
}
"""The statuses of HTTP by which logs and metrics know codes, as google.rpc.Code pairs them."""
_FACE = "grpc"
"""The face by which they know all calls."""
_CALLER: ContextVar[Caller] = ContextVar("registry_caller")
"""Who calls, in the task of a call."""


class CallDoor(Protocol):
    """The door of a server for calls that are no requests."""

    def caller_of(self, headers: Mapping[str, str], address: str) -> Caller:
        """Tell the caller by the token in these headers. Raises Refused."""

    def within(self, caller: Caller) -> AbstractContextManager[object]:
        """The time of one call, within the limits of the caller. Raises Refused."""


class ModelRegistryService:
    """Answers calls; `asking` are threads that ask the registry below. For the thread of the event loop of the door."""

    def __init__(
        self,
        registry: Registry,
        following: Following,
        door: CallDoor,
        asking: ClientTurns,
        *,
        observers: Sequence[Observer],
        emit: Emit,
    ) -> None:
        self._registry = registry
        self._following = following
        self._door = door
        self._asking = asking
        self._observers = tuple(observers)
        self._emit = emit

    def add_to(self, server: grpc.aio.Server) -> str:
        """See `RpcService`."""
        registry_pb2_grpc.add_ModelRegistryServicer_to_server(self, server)
        return pb.DESCRIPTOR.services_by_name["ModelRegistry"].full_name

    def listens_at(self, port: int) -> None:
        """See `RpcService`."""

    @contextlib.asynccontextmanager
    async def admitted(self, path: str, context: Context) -> AsyncIterator[None]:
        """Let in who has some right here. What a call may do with a model is said by the registry. All errors of a call
        come by here."""
        exchange = Exchange(address_of(context.peer()), "POST", path.encode(), _FACE)
        with observed(exchange, self._observers):
            try:
                caller = self._caller(context)
                exchange.caller = caller.name
                with self._door.within(caller):
                    _CALLER.set(caller)
                    exchange.status = 200
                    yield
                    exchange.is_whole = True
            except Refused as refused:
                exchange.status = refused.status
                await context.abort(_REFUSALS.get(refused.status, grpc.StatusCode.INTERNAL), refused.message)
            except GlmAriaError as error:
                code = _code(error)
                exchange.status = _STATUSES[code]
                await end_with(context, code, error)
            except grpc.aio.AbortError:  # it was no message of the call
                exchange.status = 400
                raise
            except Exception as error:  # noqa: BLE001 - the last place: a bug is told here, and the server lives on
                exchange.status = 500
                self._emit(Notice("request-failed", redacted(f"a call failed: {type(error).__name__}: {error}")))
                await context.abort(grpc.StatusCode.INTERNAL, "this server failed; its output has more")

    # The names of the calls are those of the service. All of them are admitted before.

    async def ResolveVersion(self, asked: pb.ResolveVersionRequest, _: Context) -> pb.ResolvedVersion:  # noqa: N802
        """Find a version."""
        model = model_named(asked.model)
        return codec.resolved(await self._do(lambda who: self._registry.resolve(who, model, asked.wanted)))

    async def ListVersions(self, asked: pb.ListVersionsRequest, _: Context) -> pb.ListVersionsResponse:  # noqa: N802
        """List a page of versions."""
        model = model_named(asked.model)
        return await self._do(lambda who: codec.page(self._registry.ledger(who, model), asked))

    async def SetAlias(self, asked: pb.SetAliasRequest, _: Context) -> pb.ResolvedVersion:  # noqa: N802
        """Move an alias that stands for what is expected."""
        model, expected = model_named(asked.model), codec.expected(asked)
        if not asked.wanted:
            raise UsageError(f"name the version for which {asked.alias!r} of {model.name} is to stand")
        return codec.resolved(
            await self._do(lambda who: self._registry.move(who, model, asked.alias, asked.wanted, expected), model)
        )

    async def WatchAliases(self, asked: pb.WatchAliasesRequest, context: Context) -> None:  # noqa: N802
        """Tell each move, as long as the token of the call holds."""
        who, model = _CALLER.get(), model_named(asked.model) if asked.model else None
        after, aliases = asked.after if asked.HasField("after") else None, frozenset(asked.aliases)
        with self._following.place_for(who.client):
            begin = await self._following.begin(who, model, after)
            await context.write(pb.AliasEvent(number=begin))
            async with aclosing(self._following.changes(partial(self._caller, context), model, begin)) as changes:
                async for news in changes:
                    for event in news:
                        if (message := codec.moved(event, aliases)) is not None:
                            await context.write(message)
        raise TemporaryError("this server ends; call again, after the last number that you have")

    def _caller(self, context: Context) -> Caller:
        """Tell who calls, by what the token allows now. Raises Refused."""
        headers = {str(key): str(value) for key, value in context.invocation_metadata() or () if key == "authorization"}
        caller = self._door.caller_of(headers, address_of(context.peer()))
        if not caller.grants:
            raise Refused(401, "show a token of this server, as authorization: Bearer gla_…")
        return caller

    async def _do(self, step: Callable[[Caller], T], changed: RepoId | None = None) -> T:
        """The result of a step, which is alone at what it changes."""
        who = _CALLER.get()
        return await self._asking.do(partial(step, who), who.client, alone=changed)


def _code(error: GlmAriaError) -> grpc.StatusCode:
    if isinstance(error, NotAllowedError):
        if error.source is not None:  # it is our own login at the registry below
            return grpc.StatusCode.UNAVAILABLE
        if not _CALLER.get().name:
            return grpc.StatusCode.UNAUTHENTICATED
    return code_of(error, _CODES)
