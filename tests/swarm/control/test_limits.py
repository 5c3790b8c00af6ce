"""How much of a scheduler a stranger, or a member that goes mad, can take: over real connections on loopback."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orchestrator.errors import GlmAriaError, TemporaryError
from orchestrator.events import ignore
from orchestrator.rpc import credentials
from orchestrator.rpc import server as rpc_server
from orchestrator.rpc.credentials import SERVER_OPTIONS, TlsFiles
from orchestrator.swarm.control import server, service
from orchestrator.swarm.control.access import HEADER, FleetDoor, with_key
from orchestrator.swarm.control.line import RemoteScheduler
from orchestrator.swarm.control.messages import Hello, Submission
from orchestrator.swarm.control.server import listening
from orchestrator.swarm.control.service import FleetService
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.limits import allow_open_files
from tests.swarm.control.cores import NotingCore

KEYS = FleetKeys((b"k" * 32,))
PLAIN = TlsFiles()


@contextlib.asynccontextmanager
async def scheduler(core: NotingCore) -> AsyncIterator[str]:
    async with listening(FleetService(core, FleetDoor(KEYS)), "127.0.0.1:0", PLAIN, ignore) as port:
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def open_files(soft: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_lets_it() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with open_files(200):
        assert allow_open_files(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        assert allow_open_files(250) == 300
        if hard != resource.RLIM_INFINITY:
            assert allow_open_files(hard + 1) == hard


async def connected(address: str, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    return [await asyncio.open_connection(host, int(port)) for _ in range(count)]


async def closed(connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    """Wait until the other side has closed all of them."""
    for reader, writer in connections:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()


def test_silent_connections_are_closed_and_more_than_fit_do_not_keep_members_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(credentials, "SERVER_OPTIONS", (*SERVER_OPTIONS, ("grpc.server_handshake_timeout_ms", 500)))
    monkeypatch.setattr(server, "allow_open_files", lambda _: server._OTHER_FILES + 20)

    async def work() -> None:
        async with asyncio.timeout(60), scheduler(NotingCore()) as address:
            silent = await connected(address, 60)
            await closed(silent)
            async with RemoteScheduler(address, PLAIN, with_key(KEYS, "n1")).calls() as calls:
                assert await calls.nodes() == ()

    asyncio.run(work())


def test_a_stranger_can_watch_the_health_of_a_scheduler_so_often_and_holds_no_room_of_members() -> None:
    async def work() -> None:
        async with (
            asyncio.timeout(60),
            scheduler(NotingCore()) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            health: Any = health_pb2_grpc.HealthStub(channel)
            watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(rpc_server._MOST_OPEN_OF_ONE)]
            for watch in watches:
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await health.Check(health_pb2.HealthCheckRequest())
            assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "from 127.0.0.1 are under way" in str(raised.value.details())
            async with RemoteScheduler(address, PLAIN, with_key(KEYS, "n1")).calls() as calls:
                assert await calls.nodes() == ()
            watches[0].cancel()
            while True:  # what was cancelled is noticed when the other side hears of it
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await health.Check(health_pb2.HealthCheckRequest())
                    break

    asyncio.run(work())


def test_one_address_makes_so_many_calls_and_is_told_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "_MOST_OF_ONE", 2)

    async def work() -> None:
        async with asyncio.timeout(60), scheduler(NotingCore()) as address, contextlib.AsyncExitStack() as nodes:

            def reached(name: str) -> RemoteScheduler:
                return RemoteScheduler(address, PLAIN, with_key(KEYS, name))

            async def join(name: str, stack: contextlib.AsyncExitStack) -> None:
                line = await stack.enter_async_context(reached(name).line(Hello(name, 1, "")))
                await anext(line.heard())

            await join("n1", nodes)
            async with contextlib.AsyncExitStack() as second:
                await join("n2", second)
                with pytest.raises(TemporaryError, match=r"2 calls from 127\.0\.0\.1 are under way here"):
                    await join("n3", nodes)
            while True:
                with contextlib.suppress(TemporaryError):
                    await join("n3", nodes)
                    break

    asyncio.run(work())


def test_a_lock_file_without_an_end_is_read_up_to_what_one_may_have() -> None:
    async def work() -> None:
        core, sent = NotingCore(), 0

        async def parts() -> AsyncIterator[pb.SubmitTaskRequest]:
            nonlocal sent
            while True:
                sent += 1
                yield pb.SubmitTaskRequest(key="k", lock=b"x" * 60_000)

        async with asyncio.timeout(60), scheduler(core) as address, grpc.aio.insecure_channel(address) as channel:
            shown = ((HEADER, with_key(KEYS, "n1")(address).header),)
            with pytest.raises(grpc.aio.AioRpcError):
                await fleet_pb2_grpc.FleetStub(channel).SubmitTask(parts(), metadata=shown)
        assert sent * 60_000 < 64 << 20
        assert core.known == {}

    asyncio.run(work())


def test_who_begins_a_submission_and_does_not_end_it_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_SUBMISSION", 0.2)

    async def work() -> None:
        async def parts() -> AsyncIterator[pb.SubmitTaskRequest]:
            yield pb.SubmitTaskRequest(key="k", lock=b"x")
            await asyncio.Event().wait()

        core = NotingCore()
        async with asyncio.timeout(60), scheduler(core) as address, grpc.aio.insecure_channel(address) as channel:
            shown = ((HEADER, with_key(KEYS, "n1")(address).header),)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await fleet_pb2_grpc.FleetStub(channel).SubmitTask(parts(), metadata=shown)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert core.known == {}

    asyncio.run(work())


def test_a_lock_file_that_is_too_long_is_said_to_be() -> None:
    async def work() -> None:
        async with (
            asyncio.timeout(60),
            scheduler(NotingCore()) as address,
            RemoteScheduler(address, PLAIN, with_key(KEYS, "n1")).calls() as calls,
        ):
            with pytest.raises(GlmAriaError):
                await calls.submit(Submission("k", "org/name", lock="x" * (33 << 20)))
            assert await calls.tasks() == ()

    asyncio.run(work())


def test_who_has_no_right_is_refused_before_a_word_is_read() -> None:
    async def work() -> None:
        async with (
            asyncio.timeout(60),
            scheduler(NotingCore()) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            for method in ("ListNodes", "ListTasks", "CancelTask", "Drain"):
                call: Any = channel.unary_unary(f"/glm_aria.fleet.v1.Fleet/{method}")
                for headers, code in (
                    (None, grpc.StatusCode.PERMISSION_DENIED),
                    (((HEADER, with_key(KEYS, "n1")(address).header),), grpc.StatusCode.INVALID_ARGUMENT),
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as raised:
                        await call(b"\xff" * 60_000, metadata=headers)
                    assert raised.value.code() is code

    asyncio.run(work())
