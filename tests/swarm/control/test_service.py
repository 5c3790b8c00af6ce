"""The service of a scheduler over real gRPC on loopback: rights, limits, order, and what is told to whom."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from orchestrator.errors import CannotCreateError, NotAllowedError, NotFoundError, ProtocolError, TemporaryError
from orchestrator.events import Event, Notice, ignore
from orchestrator.rpc.credentials import TlsFiles
from orchestrator.swarm.control import access, codec, messages, outbox
from orchestrator.swarm.control.access import FleetCaller, FleetDoor, FleetRight, sealed, with_key
from orchestrator.swarm.control.line import RemoteScheduler, error_of
from orchestrator.swarm.control.messages import FromScheduler, Hello, Join, TaskState
from orchestrator.swarm.control.server import listening
from orchestrator.swarm.control.service import FleetService
from orchestrator.swarm.control.stubs import fleet_pb2_grpc
from orchestrator.swarm.tickets import FleetKeys
from tests.hub.certificates import make_certificate
from tests.swarm.control.cores import NotingCore

KEYS = FleetKeys((b"k" * 32,))
PLAIN = TlsFiles()


def node(address: str, name: str = "n1", *, keys: FleetKeys = KEYS, files: TlsFiles = PLAIN) -> RemoteScheduler:
    return RemoteScheduler(address, files, with_key(keys, name))


def with_token(address: str, token: str) -> RemoteScheduler:
    return RemoteScheduler(address, PLAIN, access.with_token(token, is_encrypted=False))


ROLES = {
    "viewer": frozenset({FleetRight.VIEW}),
    "submitter": frozenset({FleetRight.VIEW, FleetRight.SUBMIT}),
    "admin": frozenset({FleetRight.VIEW, FleetRight.SUBMIT, FleetRight.COMMAND}),
}


def know(token: str, _address: str) -> FleetCaller | None:
    return FleetCaller(token, ROLES[token]) if token in ROLES else None


@contextlib.asynccontextmanager
async def scheduler(core: NotingCore, *, files: TlsFiles = PLAIN, most: int = 10) -> AsyncIterator[str]:
    async with listening(
        FleetService(core, FleetDoor(KEYS, know), most_streams=most), "127.0.0.1:0", files, ignore
    ) as port:
        yield f"localhost:{port}"


def run(work: Callable[[NotingCore, str], Awaitable[None]]) -> None:
    """Do this with a scheduler."""

    async def begin() -> None:
        core = NotingCore()
        async with asyncio.timeout(60), scheduler(core) as address:
            await work(core, address)

    asyncio.run(begin())


def test_a_node_is_heard_and_told_in_order() -> None:
    async def work(core: NotingCore, address: str) -> None:
        async with node(address).line(Hello("n1", 7, "http://10.0.0.1:1", leases=("l1",))) as line:
            heard = line.heard()
            assert (await anext(heard))[1] == messages.Welcome("noting", 50, 0)
            for seq in range(1, 21):
                await line.say(seq, Join(f"task-{seq}"))
            await core.until(lambda: len(core.said) == 20)
            long = messages.TaskLock("t", "x" * 200_000)
            told: list[FromScheduler] = [messages.Assign("l1"), long, messages.RevokedLease("l1")]
            for one in told:
                core.sends["n1"](one)
            assert [found for _, found in [await anext(heard) for _ in range(7)] if found] == told
        await core.until(lambda: core.left == ["n1"])
        assert core.hellos == [Hello("n1", 7, "http://10.0.0.1:1", leases=("l1",))]
        assert [seq for _, seq, _ in core.said] == list(range(1, 21))

    run(work)


def test_a_node_that_connects_again_takes_the_place_of_its_former_connection() -> None:
    async def work(core: NotingCore, address: str) -> None:
        async with node(address).line(Hello("n1", 7, "")) as first:
            heard = first.heard()
            await anext(heard)
            await first.say(1, Join("a"))
            await core.until(lambda: len(core.said) == 1)
            async with node(address).line(Hello("n1", 7, "")) as second:
                assert (await anext(second.heard()))[1] == messages.Welcome("noting", 50, 1)
                assert [told async for _, told in heard if told] == []
                assert core.left == []

    run(work)


@pytest.mark.parametrize(
    ("shown", "says"), [("stranger", "n1"), ("n2", "n1")], ids=["another key", "the ticket of another node"]
)
def test_a_stranger_is_told_nothing(shown: str, says: str) -> None:
    async def work(core: NotingCore, address: str) -> None:
        keys = FleetKeys((b"s" * 32,)) if shown == "stranger" else KEYS
        with pytest.raises(NotAllowedError):
            async with node(address, "n1" if shown == "stranger" else shown, keys=keys).line(
                Hello(says, 7, "")
            ) as line:
                await anext(line.heard())
        assert core.hellos == []
        with pytest.raises(NotAllowedError):
            async with with_token(address, "nobody").calls() as calls:
                await calls.nodes()

    run(work)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_its_rights_say(role: str) -> None:
    async def work(core: NotingCore, address: str) -> None:
        rights = ROLES[role]
        core.sends["n1"] = lambda _: None
        async with with_token(address, role).calls() as calls:
            tries: list[tuple[FleetRight, Callable[[], Awaitable[object]]]] = [
                (FleetRight.VIEW, calls.nodes),
                (FleetRight.VIEW, calls.tasks),
                (FleetRight.SUBMIT, lambda: calls.submit(sealed(KEYS, messages.Submission("k", "org/name", lock="x")))),
                (FleetRight.COMMAND, lambda: calls.drain("n1")),
            ]
            for right, call in tries:
                if right in rights:
                    await call()
                else:
                    with pytest.raises(NotAllowedError):
                        await call()
        with pytest.raises(NotAllowedError):
            async with with_token(address, role).line(Hello(role, 1, "")) as line:
                await anext(line.heard())

    run(work)


def test_a_lock_without_a_seal_of_the_fleet_is_not_taken() -> None:
    asked = messages.Submission("key", "org/name", lock="version = 1")
    others = (
        asked,
        sealed(FleetKeys((b"s" * 32,)), asked),
        replace(sealed(KEYS, asked), lock="version = 2"),
        replace(sealed(KEYS, asked), key="another"),
        replace(sealed(KEYS, asked), is_restricted=True),
    )

    async def work(core: NotingCore, address: str) -> None:
        async with node(address).calls() as calls:
            for other in others:
                with pytest.raises(NotAllowedError, match="seal"):
                    await calls.submit(other)
        assert core.known == {}

    run(work)


def test_a_task_is_submitted_watched_and_cancelled() -> None:
    async def work(core: NotingCore, address: str) -> None:
        async with node(address).calls() as calls:
            task = await calls.submit(sealed(KEYS, messages.Submission("key", "org/name", lock="x" * 100_000)))
            assert (task.id, task.size, task.state) == ("key", 100_000, TaskState.SUBMITTED)
            watched = calls.watch("key")
            assert (await anext(watched)).state is TaskState.SUBMITTED
            assert (await calls.cancel("key")).state is TaskState.CANCELLED
            assert [one.state async for one in watched][-1] is TaskState.CANCELLED
            with pytest.raises(NotFoundError):
                await calls.cancel("another")
            with pytest.raises(NotFoundError):
                await anext(calls.watch("another"))

    run(work)


def test_a_task_of_many_nodes_is_watched_whole() -> None:
    async def work(core: NotingCore, address: str) -> None:
        report = messages.TaskReport("t1", messages.NodePhase.FETCHING, done=5)
        nodes = {f"node-{number:04}": report for number in range(250)}
        core.known["t1"] = messages.TaskStatus("t1", "org/name", TaskState.RUNNING, 10, 20, nodes, is_restricted=True)
        async with node(address).calls() as calls:
            assert await anext(calls.watch("t1")) == core.known["t1"]

    run(work)


def test_more_nodes_than_fit_are_sent_away_and_all_are_listed() -> None:
    async def work(core: NotingCore, address: str) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(10):
                name = f"n{number}"
                line = await stack.enter_async_context(node(address, name).line(Hello(name, 1, "")))
                await anext(line.heard())
            with pytest.raises(TemporaryError, match="10 nodes"):
                async with node(address, "late").line(Hello("late", 1, "")) as line:
                    await anext(line.heard())
            async with with_token(address, "viewer").calls() as calls:
                assert [one.id for one in await calls.nodes()] == sorted(core.sends)

    run(work)


def test_a_node_that_does_not_say_who_it_is_is_sent_away() -> None:
    async def work(core: NotingCore, address: str) -> None:
        scheduler = node(address)
        with pytest.raises(ProtocolError):
            async with scheduler.line(Hello("", 0, "")) as line:
                await anext(line.heard())
        assert core.hellos == []

    run(work)


def test_a_message_over_64_kib_ends_the_connection_and_nothing_else() -> None:
    async def work(core: NotingCore, address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            shown = (("authorization", with_key(KEYS, "n1")(address).header),)
            call = fleet_pb2_grpc.FleetStub(channel).StreamDownloadTask(metadata=shown)
            await call.write(codec.request(0, Hello("n1", 1, "")))
            await call.read()
            await call.write(codec.request(1, Join("x" * 70_000)))
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert core.said == []
        async with node(address).line(Hello("n1", 1, "")) as line:
            await anext(line.heard())

    run(work)


def test_a_node_that_sends_too_fast_is_read_no_faster() -> None:
    async def work(core: NotingCore, address: str) -> None:
        begin = time.monotonic()
        async with node(address).line(Hello("n1", 1, "")) as line:
            await anext(line.heard())
            for seq in range(1, 521):
                await line.say(seq, Join("a"))
            await core.until(lambda: len(core.said) == 520)
        assert time.monotonic() - begin > 0.5

    run(work)


def test_health_answers_all_and_reflection_who_may_look() -> None:
    async def work(core: NotingCore, address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            health: Any = health_pb2_grpc.HealthStub(cast(Any, channel))
            request = health_pb2.HealthCheckRequest(service="glm_aria.fleet.v1.Fleet")
            assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            asking: Any = reflection_pb2_grpc.ServerReflectionStub(cast(Any, channel))
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await asking.ServerReflectionInfo(iter([asked])).read()
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
            shown = (("authorization", "Bearer viewer"),)
            async for answer in asking.ServerReflectionInfo(iter([asked]), metadata=shown):
                names = {one.name for one in answer.list_services_response.service}
        assert "glm_aria.fleet.v1.Fleet" in names

    run(work)


def test_two_schedulers_cannot_have_one_port() -> None:
    async def work(core: NotingCore, address: str) -> None:
        port = address.rpartition(":")[2]
        with pytest.raises(CannotCreateError):
            async with listening(FleetService(core, FleetDoor(KEYS)), f"127.0.0.1:{port}", PLAIN, ignore):
                pass

    run(work)


def test_tls_proves_both_sides_and_takes_what_is_renewed(tmp_path: Path) -> None:
    server, client = tmp_path / "server", tmp_path / "client"
    server.mkdir()
    client.mkdir()
    make_certificate(server)
    make_certificate(client)
    own = TlsFiles(server / "cert.pem", server / "key.pem", client / "cert.pem")
    known = TlsFiles(client / "cert.pem", client / "key.pem", server / "cert.pem")

    async def fails(address: str, files: TlsFiles) -> None:
        with pytest.raises(TemporaryError):
            async with node(address, files=files).calls() as calls:
                await calls.nodes()

    async def work() -> None:
        core = NotingCore()
        async with (
            asyncio.timeout(60),
            scheduler(core, files=own) as address,
            node(address, files=known).line(Hello("n1", 1, "")) as line,
        ):
            await anext(line.heard())
            await fails(address, PLAIN)
            await fails(address, TlsFiles(authority=server / "cert.pem"))
            make_certificate(server)
            async with node(address, files=known).calls() as calls:
                assert [one.id for one in await calls.nodes()] == ["n1"]
            await line.say(1, Join("a"))
            await core.until(lambda: len(core.said) == 1)

    asyncio.run(work())


def test_a_certificate_that_is_spoilt_leaves_the_one_from_before(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    told: list[Event] = []
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    before = (tmp_path / "cert.pem").read_bytes()
    (tmp_path / "known.pem").write_bytes(before)

    async def work() -> None:
        service = FleetService(NotingCore(), FleetDoor(KEYS))
        async with asyncio.timeout(60), listening(service, "127.0.0.1:0", files, told.append) as port:
            (tmp_path / "key.pem").write_text("spoilt")
            known = TlsFiles(authority=tmp_path / "known.pem")
            async with node(f"localhost:{port}", files=known).calls() as calls:
                assert await calls.nodes() == ()

    asyncio.run(work())
    assert [one.code for one in told if isinstance(one, Notice)] == ["certificate-unusable"]


def test_an_outbox_that_nobody_reads_is_full_and_keeps_the_newest_list_of_peers() -> None:
    async def work() -> None:
        box = outbox.Outbox(2)
        box.put(messages.PeersToAsk(()))
        box.put(messages.DrainOrder())
        box.put(messages.PeersToAsk(()))
        assert not box.is_full
        box.put(messages.DrainOrder())
        assert box.is_full
        assert await box.take(0) == (messages.DrainOrder(), messages.PeersToAsk(()))

    asyncio.run(work())


def test_who_speaks_on_a_call_that_has_ended_is_told_so() -> None:
    async def work(_core: NotingCore, address: str) -> None:
        async with node(address).line(Hello("n1", 7, "http://10.0.0.1:1")) as line:
            await line.say(1, messages.Bye())
            async for _ in line.heard():
                pass
            with pytest.raises(TemporaryError, match="ended the connection"):
                await line.say(2, Join("task"))

    run(work)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ("Cancelling all calls", "the scheduler foo:8091 ended the connection"),
        ("Stream removed (Socket closed)", "the scheduler foo:8091 ended the connection"),
        ("errors resolving foo:8091: [field:hostname]", "the name in foo:8091 is not known here"),
        ("failed to connect to all addresses", "no scheduler answers at foo:8091"),
        ("4096 nodes are connected here", "the scheduler foo:8091: 4096 nodes are connected here"),
    ],
)
def test_what_the_library_says_of_a_line_is_said_in_plain_words(details: str, words: str) -> None:
    error = error_of("foo:8091", grpc.StatusCode.UNAVAILABLE, details)
    assert isinstance(error, TemporaryError)
    assert error.message == words
    assert "run the same command" not in (error.hint or "")
