"""A service at an address, beside those of health and reflection.

Health is told to all. Anybody else is let in first, and then a word of the call is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from orchestrator.errors import CannotCreateError
from orchestrator.events import Emit
from orchestrator.rpc.calls import CallsUnderWay, Context, guarded
from orchestrator.rpc.credentials import MOST_MESSAGE, TlsFiles, server_credentials, server_options

T = TypeVar("T")
_GRACE = 1.0
"""Seconds that calls under way have when the server ends."""
_MOST_CALLS, _MOST_OF_ONE = 8192, 2048
"""Calls under way at once, and those of one address: behind one there may be all the nodes of a rack."""
_MOST_OPEN, _MOST_OPEN_OF_ONE = 256, 8
"""The same for calls of health, which strangers may make, and watch for as long as they like."""


class RpcService(Protocol):
    """The calls of a service, and who may make them."""

    def add_to(self, server: grpc.aio.Server) -> str:
        """Have a server answer the calls; the full name of the service."""

    def listens_at(self, port: int) -> None:
        """The server is about to listen at this port."""

    def admitted(self, path: str, context: Context) -> AbstractAsyncContextManager[None]:
        """The time of a call of the method at this path (`/service/Method`), of any service of the server. Ends that of
        who may not make it."""


@dataclass(frozen=True, slots=True)
class RpcPlace:
    """A place to listen at: `HOST:PORT`, the option that names it, its certificate, and how many connections there may
    be. An answer has at most `most_sent` bytes."""

    listen: str
    option: str
    files: TlsFiles
    most_connections: int
    most_sent: int = MOST_MESSAGE


@contextlib.asynccontextmanager
async def listening(service: RpcService, place: RpcPlace, emit: Emit) -> AsyncIterator[int]:
    """Answer there until the context ends; the port. Raises CannotCreateError where nothing can listen, ConfigError for
    files that cannot be used."""
    options = server_options(place.most_connections, place.most_sent)
    server = grpc.aio.server(interceptors=(_Guard(service),), options=options, maximum_concurrent_rpcs=_MOST_CALLS)
    name = service.add_to(server)
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    reflection.enable_server_reflection((name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    credentials = server_credentials(place.files, emit)
    try:
        if credentials:
            port = server.add_secure_port(place.listen, credentials)
        else:
            port = server.add_insecure_port(place.listen)
    except RuntimeError as error:
        raise CannotCreateError(
            f"nothing can listen on {place.listen}",
            hint="another program has the port, or this machine has not that address; choose another: "
            f"{place.option} HOST:PORT",
        ) from error
    service.listens_at(port)
    await server.start()
    for one in (name, health.OVERALL_HEALTH):
        await state.set(one, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        await state.enter_graceful_shutdown()
        await server.stop(_GRACE)


@contextlib.contextmanager
def lasting(
    context: AbstractAsyncContextManager[T], run: Callable[[Coroutine[Any, Any, Any]], Future[Any]]
) -> Iterator[T]:
    """An asynchronous context in the event loop of another thread, in which `run` has things done."""
    value = run(context.__aenter__()).result()
    try:
        yield value
    finally:
        run(context.__aexit__(None, None, None)).result(5)


class _Guard(grpc.aio.ServerInterceptor):
    """Has the service admit who calls, and lets nobody call so often that others cannot."""

    def __init__(self, service: RpcService) -> None:
        self._service = service
        self._calls = CallsUnderWay(_MOST_CALLS - _MOST_OPEN, _MOST_OF_ONE)
        self._open_calls = CallsUnderWay(_MOST_OPEN, _MOST_OPEN_OF_ONE)

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of a call, behind the door."""
        handler = await continuation(details)
        if handler is None:
            return None
        if details.method.startswith(f"/{health.SERVICE_NAME}/"):
            return guarded(handler, self._open_calls.one)
        return guarded(handler, partial(self._admitted, details.method))

    @contextlib.asynccontextmanager
    async def _admitted(self, path: str, context: Context) -> AsyncIterator[None]:
        async with self._calls.one(context), self._service.admitted(path, context):
            yield
