"""Schedulers of two sites over real gRPC: what each learns of the other's nodes, and who is told nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from orchestrator.core.versions import Vector
from orchestrator.errors import NotAllowedError
from orchestrator.events import Event, FleetNews, Notice
from orchestrator.rpc.calls import Context
from orchestrator.rpc.credentials import TlsFiles
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.access import HEADER, PROOF, FleetCaller, FleetDoor, FleetRight, with_key
from orchestrator.swarm.control.line import error_of
from orchestrator.swarm.control.messages import Hello
from orchestrator.swarm.control.scheduling.scheduler import Scheduler
from orchestrator.swarm.control.server import listening
from orchestrator.swarm.control.service import FleetService
from orchestrator.swarm.control.sites import codec, exchange, links
from orchestrator.swarm.control.sites.links import SiteLink
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.view import NodeState
from tests.hub.certificates import make_certificate

KEYS = FleetKeys((b"k" * 32,))
PLAIN = TlsFiles()


@dataclass
class Site:
    """A scheduler with a board in memory, what it tells people, and the nodes that it was told of."""

    name: str
    files: TlsFiles = PLAIN
    keys: FleetKeys = KEYS
    events: list[Event] = field(default_factory=list)
    address: str = ""
    scheduler: Scheduler = field(init=False)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(MemoryBoard(), self.name, self.events.append, site=self.name)

    @contextlib.asynccontextmanager
    async def running(self, listen: str = "127.0.0.1:0") -> AsyncIterator[Site]:
        """Answer at an address, and take turns."""
        door = FleetDoor(self.keys, lambda token, _: FleetCaller(token, frozenset(FleetRight) - {FleetRight.NODE}))
        service = FleetService(self.scheduler, door, self.events.append)
        turning = asyncio.create_task(self.scheduler.run())
        try:
            async with listening(service, listen, self.files, self.events.append) as port:
                self.address = f"localhost:{port}"
                yield self
        finally:
            turning.cancel()

    @contextlib.asynccontextmanager
    async def linked(self, place: str, keys: FleetKeys | None = None) -> AsyncIterator[asyncio.Task[None]]:
        """Keep a link to a place."""
        link = SiteLink(place, self.files, with_key(keys or self.keys, "site"))
        keeping = asyncio.create_task(link.keep(self.scheduler.desk, self.events.append))
        try:
            yield keeping
        finally:
            keeping.cancel()
            await asyncio.wait((keeping,))

    def node(self, name: str, seq: int = 1) -> None:
        """A node is connected, and has said something."""
        self.scheduler.connect(Hello(name, 1, f"http://{name}:1", "rack"), lambda _: None)
        self.scheduler.hear(name, 1, seq, messages.Progress())

    def known(self) -> dict[str, tuple[str, NodeState]]:
        """The nodes that `fleet ls` shows, each with its site."""
        return {node.id: (node.site, node.state) for node in self.scheduler.nodes()}

    def codes(self) -> list[str]:
        return [event.code for event in self.events if isinstance(event, FleetNews | Notice)]


async def until(is_so: Callable[[], bool]) -> None:
    """Look until something is so."""
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


def run(work: Callable[[Site, Site], Awaitable[None]], files: TlsFiles = PLAIN, **second: Any) -> None:
    """Do this with two sites."""

    async def begin() -> None:
        other = Site(**{"name": "paris", "files": files, **second})
        async with asyncio.timeout(60), Site("rome", files).running() as rome, other.running() as paris:
            await work(rome, paris)

    asyncio.run(begin())


async def learn_of_each_other(rome: Site, paris: Site) -> None:
    rome.node("r1")
    async with rome.linked(paris.address):
        paris.node("p1")
        both = {"r1": ("rome", NodeState.READY), "p1": ("paris", NodeState.READY)}
        await until(lambda: rome.known() == paris.known() == both)
        assert {node.zone for node in rome.scheduler.nodes()} == {"rack"}
        assert {node.address for node in rome.scheduler.nodes()} == {"http://r1:1", "http://p1:1"}
        rome.scheduler.hear("r1", 1, 2, messages.Bye())
        await until(lambda: paris.known()["r1"][1] is NodeState.LOST)
    await until(lambda: "site-away" in paris.codes())
    assert rome.codes()[:1] == paris.codes()[:1] == ["site"]


def test_two_schedulers_learn_of_each_others_nodes() -> None:
    run(learn_of_each_other)


def test_over_tls_with_certificates_of_both(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    run(learn_of_each_other, TlsFiles(certificate, key, certificate))


def test_a_link_that_broke_comes_back_and_brings_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    read = codec.said_news

    def noting(found: pb.NodeDelta) -> Any:
        told.append(found.node)
        return read(found)

    monkeypatch.setattr(codec, "said_news", noting)

    async def work(rome: Site, paris: Site) -> None:
        rome.node("r1")
        rome.node("r2")
        await until(lambda: len(rome.known()) == 2)
        async with paris.linked(rome.address):
            await until(lambda: len(paris.known()) == 2)
        told.clear()
        rome.scheduler.hear("r2", 1, 9, messages.Bye())
        rome.node("r3")
        async with paris.linked(rome.address):
            await until(lambda: "r3" in paris.known() and paris.known()["r2"][1] is NodeState.LOST)
        assert sorted(told) == ["r2", "r3"]

    run(work)


def test_a_scheduler_that_starts_again_learns_all_anew() -> None:
    async def begin() -> None:
        async with asyncio.timeout(60), Site("rome").running() as rome:
            rome.node("r1")
            async with Site("paris").running() as paris:
                place = paris.address
                keeping = await asyncio.wait_for(_begun(rome, paris), 20)
            again = Site("paris")
            async with again.running(place.replace("localhost", "127.0.0.1")):
                await until(lambda: "r1" in again.known())
            keeping.cancel()
            await asyncio.wait((keeping,))
            assert [code for code in rome.codes() if code != "site-not-linked"] == ["site", "site-away"] * 2

    async def _begun(rome: Site, paris: Site) -> asyncio.Task[None]:
        link = SiteLink(paris.address, PLAIN, with_key(KEYS, "site"))
        keeping = asyncio.create_task(link.keep(rome.scheduler.desk, rome.events.append))
        await until(lambda: "r1" in paris.known())
        return keeping

    asyncio.run(begin())


@pytest.mark.parametrize("who", ["another key", "a token"])
def test_who_has_not_the_key_is_told_nothing(who: str) -> None:
    async def work(rome: Site, paris: Site) -> None:
        paris.node("p1")
        async with grpc.aio.insecure_channel(paris.address) as channel:
            shown = with_key(FleetKeys((b"s" * 32,)), "site")(paris.address).header
            header = shown if who == "another key" else "Bearer admin"
            call = fleet_pb2_grpc.FleetStub(channel).SyncState(metadata=((HEADER, header),))

            async def ask() -> None:
                await call.write(codec.hello("rome"))  # raises, too, where the refusal is here by then
                await call.read()

            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await ask()
            assert isinstance(error_of("it", raised.value.code(), None), NotAllowedError)
        assert paris.scheduler.desk.site == "paris"
        assert rome.known() == {}

    run(work)


class Impostor(fleet_pb2_grpc.FleetServicer):
    """Has no key, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[pb.StateDelta] = []
        self.calls = 0

    async def SyncState(self, requests: AsyncIterator[pb.StateDelta], context: Context) -> None:  # noqa: N802
        self.calls += 1
        await context.send_initial_metadata(((PROOF, "forged"),))
        await context.write(codec.hello("paris"))
        self.told += [told async for told in requests]


def test_who_does_not_prove_the_key_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_REFUSED", 0.01)

    async def work(rome: Site, _paris: Site) -> None:
        server, it = grpc.aio.server(), Impostor()
        fleet_pb2_grpc.add_FleetServicer_to_server(it, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        rome.node("r1")
        async with rome.linked(f"127.0.0.1:{port}"):
            await until(lambda: it.calls >= 2)
        await server.stop(0)
        assert it.told == []
        assert rome.codes() == ["site-not-linked"], "told once"

    run(work)


@pytest.mark.parametrize(("name", "says"), [("rome", "both sites are called rome"), ("", "belongs to no site")])
def test_sites_need_names_of_their_own(name: str, says: str) -> None:
    async def work(rome: Site, other: Site) -> None:
        async with rome.linked(other.address):
            await until(lambda: "site-not-linked" in rome.codes())
        (notice,) = [event for event in rome.events if isinstance(event, Notice)]
        assert says in notice.message
        assert other.known() == rome.known() == {}

    run(work, name=name)


def test_a_site_that_falls_silent_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LOST_AFTER", 1.0)

    async def work(rome: Site, _paris: Site) -> None:
        rome.node("r1")
        async with grpc.aio.insecure_channel(rome.address) as channel:
            shown = with_key(KEYS, "site")(rome.address).header
            call = fleet_pb2_grpc.FleetStub(channel).SyncState(metadata=((HEADER, shown),))
            await call.write(codec.hello("paris"))
            for part in codec.vector(Vector({"gone": (1, 2)})):
                await call.write(part)
            heard = [found async for found in call]
        assert [found.WhichOneof("said") for found in heard][:4] == ["site", "seen", "node", "node"]
        assert {found.node.node: found.node.number & 1 for found in heard[2:4]} == {"r1": 0, "gone": 1}
        assert "site-away" in rome.codes()

    run(work)


@pytest.mark.parametrize(
    "said",
    [
        [codec.beat()],
        [codec.hello("paris"), codec.hello("paris")],
        [codec.hello("paris"), *codec.vector(Vector()), *codec.vector(Vector())],
        [codec.hello("paris"), pb.StateDelta()],
        [codec.hello("paris"), pb.StateDelta(node=pb.NodeDelta(node="n1", epoch=1, number=8, since=4))],
    ],
    ids=["no name", "two names", "two vectors", "nothing", "a gap"],
)
def test_what_has_no_meaning_ends_the_exchange(said: list[pb.StateDelta]) -> None:
    async def work(rome: Site, _paris: Site) -> None:
        async with grpc.aio.insecure_channel(rome.address) as channel:
            shown = with_key(KEYS, "site")(rome.address).header
            call = fleet_pb2_grpc.FleetStub(channel).SyncState(metadata=((HEADER, shown),))
            for one in said:
                await call.write(one)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                async for _ in call:
                    pass
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        rome.node("r1")
        await until(lambda: "r1" in rome.known())

    run(work)
