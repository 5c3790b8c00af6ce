"""A scheduler that nobody of the fleet runs: it has no key, and a lock of its own for whatever a node asks for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio

from orchestrator.swarm.control.messages import task_of
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc


class _Pretender(fleet_pb2_grpc.FleetServicer):
    """Lets everybody in, and gives the same lock to all."""

    def __init__(self, lock: str) -> None:
        self._lock = lock.encode()

    async def SubmitTask(self, requests: AsyncIterator[pb.SubmitTaskRequest], _context: Any) -> pb.Task:  # noqa: N802
        keys = [part.key async for part in requests]
        return pb.Task(id=task_of(keys[0]), state=pb.TASK_STATE_RUNNING)

    async def StreamDownloadTask(self, requests: AsyncIterator[pb.DownloadRequest], context: Any) -> None:  # noqa: N802
        await context.write(pb.DownloadStatus(welcome=pb.Welcome(scheduler="pretender", beat=1000)))
        async for said in requests:
            if said.WhichOneof("said") == "join":
                part = pb.TaskPart(task=said.join.task, lock=self._lock, last=True, seal="A" * 43)
                await context.write(pb.DownloadStatus(task=part))


@contextlib.contextmanager
def pretending(lock: str) -> Iterator[str]:
    """The address of one with this lock."""
    ready, ports = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = grpc.aio.server()
        fleet_pb2_grpc.add_FleetServicer_to_server(_Pretender(lock), server)
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        ready.set()
        try:
            await server.wait_for_termination()
        finally:
            await server.stop(None)

    work = loop.create_task(serve())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(work)
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        yield f"127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(work.cancel)
        thread.join(10)
