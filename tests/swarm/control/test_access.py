"""Who is let in by a scheduler, and who is believed to be one: over real gRPC, with impostors between."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from orchestrator.errors import NotAllowedError, TemporaryError, UsageError
from orchestrator.events import ignore
from orchestrator.rpc.calls import Context
from orchestrator.rpc.credentials import TlsFiles
from orchestrator.swarm.control.access import HEADER, PROOF, FleetCaller, FleetDoor, FleetRight, with_key, with_token
from orchestrator.swarm.control.line import FleetCalls, RemoteScheduler
from orchestrator.swarm.control.messages import Hello, Submission
from orchestrator.swarm.control.server import listening
from orchestrator.swarm.control.service import FleetService
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc
from orchestrator.swarm.tickets import FleetKeys
from tests.hub.certificates import make_certificate
from tests.swarm.control.cores import NotingCore

KEYS = FleetKeys((b"k" * 32,))
PLAIN = TlsFiles()
FROM_HERE, FROM_ELSEWHERE = "ipv4:127.0.0.1:50000", "ipv4:192.0.2.7:50000"


class Impostor(fleet_pb2_grpc.FleetServicer):
    """Has no key. Notes what it is shown and told, answers with a proof that it was given, and says what it likes."""

    def __init__(self, proof: str | None = "") -> None:
        self.proof = proof
        self.shown: list[str] = []
        self.told: list[object] = []

    async def StreamDownloadTask(self, requests: AsyncIterator[pb.DownloadRequest], context: Context) -> None:  # noqa: N802
        await self._begin(context)
        await context.write(pb.DownloadStatus(welcome=pb.Welcome(scheduler="impostor", beat=50)))
        self.told += [said async for said in requests]

    async def SubmitTask(self, requests: AsyncIterator[pb.SubmitTaskRequest], context: Context) -> pb.Task:  # noqa: N802
        await self._begin(context)
        self.told += [said async for said in requests]
        return pb.Task(id="forged")

    async def WatchTask(self, _asked: pb.TaskRef, context: Context) -> None:  # noqa: N802
        await self._begin(context)
        await context.write(pb.Task(id="forged"))

    async def ListNodes(self, _asked: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:  # noqa: N802
        await self._begin(context)
        return pb.ListNodesResponse(nodes=[pb.Node(id="forged")])

    async def _begin(self, context: Context) -> None:
        self.shown += [str(value) for key, value in context.invocation_metadata() or () if key == HEADER]
        if self.proof is not None:
            await context.send_initial_metadata(((PROOF, self.proof),))


@contextlib.asynccontextmanager
async def impostor(it: Impostor) -> AsyncIterator[str]:
    server = grpc.aio.server()
    fleet_pb2_grpc.add_FleetServicer_to_server(it, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def scheduler(core: NotingCore, door: FleetDoor | None = None) -> AsyncIterator[str]:
    service = FleetService(core, door or FleetDoor(KEYS))
    async with listening(service, "127.0.0.1:0", PLAIN, ignore) as port:
        yield f"127.0.0.1:{port}"


async def _watch(calls: FleetCalls) -> object:
    return [one async for one in calls.watch("t")]


CALLS: dict[str, Callable[[FleetCalls], Awaitable[object]]] = {
    "nodes": lambda calls: calls.nodes(),
    "watch": _watch,
    "submit": lambda calls: calls.submit(Submission("k", "org/name", lock="secret")),
}


@pytest.mark.parametrize("proof", ["", None, "A" * 22], ids=["no proof", "no header", "a wrong proof"])
def test_nothing_is_said_to_an_impostor_and_nothing_of_it_is_believed(proof: str | None) -> None:
    async def work() -> None:
        it = Impostor(proof)
        async with asyncio.timeout(60), impostor(it) as address:
            remote = RemoteScheduler(address, PLAIN, with_key(KEYS, "n1"))
            # Who answers nothing at all before it hears something is not waited for.
            refused = NotAllowedError if proof is not None else (NotAllowedError, TemporaryError)
            with pytest.raises(refused):
                async with remote.line(Hello("n1", 7, "http://10.0.0.1:1")) as line:
                    await anext(line.heard())
            for call in CALLS.values():
                async with remote.calls() as calls:
                    with pytest.raises(refused):
                        await call(calls)
        assert len(it.shown) == 4
        assert len(set(it.shown)) == 4, "each ticket has a number that is used once"
        assert it.told == []

    asyncio.run(work())


def test_what_an_impostor_was_shown_opens_no_real_scheduler() -> None:
    async def work() -> None:
        it, core = Impostor(), NotingCore()
        async with asyncio.timeout(60), impostor(it) as false, scheduler(core) as true:
            with pytest.raises(NotAllowedError):
                async with RemoteScheduler(false, PLAIN, with_key(KEYS, "n1")).calls() as calls:
                    await calls.nodes()
            async with grpc.aio.insecure_channel(true) as channel:
                stub = fleet_pb2_grpc.FleetStub(channel)
                altered = it.shown[0].replace(false, true)
                for header in (it.shown[0], altered):
                    shown = ((HEADER, header),)
                    listed = stub.ListNodes(pb.ListNodesRequest(), metadata=shown)
                    submitted = stub.SubmitTask(iter([pb.SubmitTaskRequest(key="k")]), metadata=shown)
                    for call in (listed, submitted):
                        with pytest.raises(grpc.aio.AioRpcError) as raised:
                            await call
                        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
                        assert PROOF not in dict(await call.initial_metadata())
        assert core.known == {}

    asyncio.run(work())


def test_the_proof_for_one_ticket_proves_nothing_to_another() -> None:
    show = with_key(KEYS, "n1")
    door = FleetDoor(KEYS)
    door.port = 8091
    first, second = show("localhost:8091"), show("localhost:8091")
    proof = door.admit({HEADER: first.header}, FROM_HERE).proof
    assert first.is_proven(proof)
    assert not second.is_proven(proof)
    assert not first.is_proven("")


@pytest.mark.parametrize(
    ("place", "peer", "hosts", "is_let_in"),
    [
        ("127.0.0.1:8091", FROM_HERE, (), True),
        ("[::1]:8091", "ipv6:%5B::1%5D:50000", (), True),
        ("localhost:8091", FROM_ELSEWHERE, (), False),
        ("localhost:8092", FROM_HERE, (), False),
        (f"{os.uname().nodename}:8091", FROM_ELSEWHERE, (), True),
        (f"{os.uname().nodename.upper()}.example.com:8091", FROM_ELSEWHERE, (), True),
        (f"{os.uname().nodename}:8092", FROM_ELSEWHERE, (), False),
        ("scheduler.example.com:8091", FROM_ELSEWHERE, (), False),
        ("scheduler.example.com:443", FROM_ELSEWHERE, ("Scheduler.example.com",), True),
        ("192.0.2.1:8091", FROM_ELSEWHERE, (), False),
        ("0.0.0.0:8091", FROM_ELSEWHERE, (), False),
    ],
)
def test_a_scheduler_takes_tickets_for_its_own_places(
    place: str, peer: str, hosts: tuple[str, ...], is_let_in: bool
) -> None:
    door = FleetDoor(KEYS, hosts=hosts)
    door.port = 8091
    header = {HEADER: with_key(KEYS, "n1")(place).header}
    if is_let_in:
        assert door.admit(header, peer).name == "n1"
    else:
        with pytest.raises(NotAllowedError):
            door.admit(header, peer)


def test_who_is_called_by_a_name_that_it_does_not_know_says_what_to_do() -> None:
    async def work() -> None:
        async with asyncio.timeout(60), scheduler(NotingCore(), FleetDoor(FleetKeys((b"o" * 32,)))) as address:
            with pytest.raises(NotAllowedError, match="called") as raised:
                async with RemoteScheduler(address, PLAIN, with_key(KEYS, "n1")).calls() as calls:
                    await calls.nodes()
            assert "fleet.hosts" in (raised.value.hint or "")

    asyncio.run(work())


def test_a_token_goes_over_no_network_in_clear() -> None:
    with pytest.raises(UsageError, match="not sent") as raised:
        with_token("secret-token", is_encrypted=False)("head.example.com:8091")
    assert "fleet.authority" in (raised.value.hint or "")
    assert "secret-token" not in str(raised.value)
    for place in ("localhost:8091", "127.0.0.1:8091", "[::1]:8091"):
        assert with_token("secret-token", is_encrypted=False)(place).header == "Bearer secret-token"
    assert with_token("secret-token", is_encrypted=True)("head.example.com:8091").header


def test_a_token_is_shown_to_no_one_whose_certificate_is_not_the_fleets(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        make_certificate(folder)
    tokens: list[str] = []

    def know(token: str, _address: str) -> FleetCaller:
        tokens.append(token)
        return FleetCaller("t", frozenset({FleetRight.VIEW}))

    async def work() -> None:
        service = FleetService(NotingCore(), FleetDoor(KEYS, know))
        served = TlsFiles(own / "cert.pem", own / "key.pem")
        show = with_token("secret", is_encrypted=True)
        async with asyncio.timeout(60), listening(service, "127.0.0.1:0", served, ignore) as port:
            place = f"localhost:{port}"
            with pytest.raises(TemporaryError):
                async with RemoteScheduler(place, TlsFiles(authority=other / "cert.pem"), show).calls() as calls:
                    await calls.nodes()
            assert tokens == []
            async with RemoteScheduler(place, TlsFiles(authority=own / "cert.pem"), show).calls() as calls:
                await calls.nodes()
        assert tokens == ["secret"]

    asyncio.run(work())
