"""A scheduler at an address: the service of the fleet, beside those of health and reflection.

Health is told to all. Anybody else is let in first, and then a word of the call is read.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from orchestrator.errors import CannotCreateError
from orchestrator.events import Emit
from orchestrator.swarm.control.credentials import SERVER_OPTIONS, TlsFiles, server_credentials
from orchestrator.swarm.control.service import Context, FleetService, address_of
from orchestrator.swarm.control.stubs import fleet_pb2, fleet_pb2_grpc
from orchestrator.system.limits import allow_open_files

_NAME = fleet_pb2.DESCRIPTOR.services_by_name["Fleet"].full_name
_GRACE = 1.0
"""Seconds that calls under way have when the scheduler ends."""
_MOST_CALLS, _MOST_OF_ONE = 8192, 2048
"""Calls under way at once, and those of one address: behind one there may be all the nodes of a rack."""
_MOST_OPEN, _MOST_OPEN_OF_ONE = 256, 8
"""The same for calls of health, which strangers may make, and watch for as long as they like."""
_OPEN_FILES = 16384
_OTHER_FILES = 128
"""Descriptors that remain for all but connections."""


@contextlib.asynccontextmanager
async def listening(service: FleetService, listen: str, files: TlsFiles, emit: Emit) -> AsyncIterator[int]:
    """Answer at `HOST:PORT` until the context ends; the port. Raises CannotCreateError where nothing can listen."""
    most = max(1, allow_open_files(_OPEN_FILES) - _OTHER_FILES)
    # Beyond that a connection is closed at once: without a descriptor, nobody else could be let in any more.
    options = (*SERVER_OPTIONS, ("grpc.max_allowed_incoming_connections", most))
    server = grpc.aio.server(interceptors=(_Guard(service),), options=options, maximum_concurrent_rpcs=_MOST_CALLS)
    fleet_pb2_grpc.add_FleetServicer_to_server(service, server)
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    reflection.enable_server_reflection((_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    credentials = server_credentials(files, emit)
    try:
        port = server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
    except RuntimeError as error:
        raise CannotCreateError(
            f"nothing can listen on {listen}",
            hint="another program has the port, or this machine has not that address; choose another: --listen",
        ) from error
    service.door.port = port
    await server.start()
    for name in (_NAME, health.OVERALL_HEALTH):
        await state.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        await state.enter_graceful_shutdown()
        await server.stop(_GRACE)


class _Guard(grpc.aio.ServerInterceptor):
    """Has the service admit who calls, and lets nobody call so often that others cannot."""

    def __init__(self, service: FleetService) -> None:
        self._service = service
        self._calls = CallsUnderWay(_MOST_CALLS - _MOST_OPEN, _MOST_OF_ONE)
        self._open_calls = CallsUnderWay(_MOST_OPEN, _MOST_OPEN_OF_ONE)

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of a call, behind the door."""
        handler = await continuation(details)
        service, _, method = details.method.removeprefix("/").partition("/")
        if handler is None:
            return None
        if service == health.SERVICE_NAME:
            return _guarded(handler, self._open_calls.one)
        return _guarded(handler, partial(self._admitted, method))

    @contextlib.asynccontextmanager
    async def _admitted(self, method: str, context: Context) -> AsyncIterator[None]:
        async with self._calls.one(context):
            await self._service.admit(method, context)
            yield


class CallsUnderWay:
    """Counts calls while they last: `most` at once, and so many of each address."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._count = 0
        self._of: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def one(self, context: Context) -> AsyncIterator[None]:
        """A call. Ends it with the reason where there are too many."""
        address = address_of(context.peer())
        if self._of[address] >= self._most_of_one:
            await _refuse(context, f"{self._most_of_one} calls from {address} are under way here, which is the most")
        if self._count >= self._most:
            await _refuse(context, f"{self._most} calls are under way here, which is the most")
        self._count += 1
        self._of[address] += 1
        try:
            yield
        finally:
            self._count -= 1
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]


async def _refuse(context: Context, why: str) -> NoReturn:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)


def _guarded(handler: Any, entered: Callable[[Context], AbstractAsyncContextManager[None]]) -> Any:
    """The same handler. A single message is read here, after the door; a stream, by the handler as it goes on."""
    inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    make = _MAKERS[handler.request_streaming, handler.response_streaming]
    read = handler.request_deserializer
    if inspect.isasyncgenfunction(inner):

        async def tell(asked: Any, context: Context) -> AsyncIterator[Any]:
            async with entered(context):
                async for told in inner(asked, context):
                    yield told

        return make(tell, read, handler.response_serializer)

    async def answer(asked: Any, context: Context) -> Any:
        async with entered(context):
            if not handler.request_streaming:
                try:
                    asked = read(asked)
                except DecodeError:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is no message of the call")
            return await inner(asked, context)

    return make(answer, read if handler.request_streaming else None, handler.response_serializer)


_MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
