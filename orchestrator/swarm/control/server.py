"""A scheduler at an address: the service of the fleet, beside those of health and reflection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from orchestrator.errors import CannotCreateError
from orchestrator.events import Emit
from orchestrator.swarm.control.credentials import SERVER_OPTIONS, TlsFiles, server_credentials
from orchestrator.swarm.control.service import FleetService
from orchestrator.swarm.control.stubs import fleet_pb2, fleet_pb2_grpc
from orchestrator.system.limits import allow_open_files

_NAME = fleet_pb2.DESCRIPTOR.services_by_name["Fleet"].full_name
_GRACE = 1.0
"""Seconds that calls under way have when the scheduler ends."""
_MOST_CALLS = 8192
_OPEN_FILES = 16384
_OTHER_FILES = 128
"""Descriptors that remain for all but connections."""


@contextlib.asynccontextmanager
async def listening(service: FleetService, listen: str, files: TlsFiles, emit: Emit) -> AsyncIterator[int]:
    """Answer at `HOST:PORT` until the context ends; the port. Raises CannotCreateError where nothing can listen."""
    most = max(1, allow_open_files(_OPEN_FILES) - _OTHER_FILES)
    # Beyond that a connection is closed at once: without a descriptor, nobody else could be let in any more.
    options = (*SERVER_OPTIONS, ("grpc.max_allowed_incoming_connections", most))
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_MOST_CALLS)
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
