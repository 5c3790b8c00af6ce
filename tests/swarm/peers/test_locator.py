"""Peers as sources: what a depot is told of them, and what becomes of a peer that does not answer as it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Origin
from orchestrator.depot.candidates import Candidates
from orchestrator.errors import SourcesDownError, TemporaryError
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding, HoldingNews
from orchestrator.swarm.peers.client import PeerClient, peer_net
from orchestrator.swarm.peers.locator import PeerLocator
from orchestrator.swarm.peers.neighbours import Neighbours
from orchestrator.swarm.units import Bits
from orchestrator.swarm.wire import NodeNews
from orchestrator.transfer.interface import Terms, Uri
from tests import plain
from tests.plain import Heard
from tests.swarm.peers.nodes import KEYS, Nobody
from tests.swarm.peers.scripted import ScriptedPeer, scripted_peer

SIZE = 4 * PIECE
DIGEST = Digest.parse("sha256:" + "ab" * 32)
JOB = Job(DIGEST, SIZE, True, (Origin(plain.REPO, plain.ONE, "f"),))
CLOSED = Job(DIGEST, SIZE, True, JOB.origins, is_restricted=True)
HUB: tuple[str, ...] = ("hub",)


@dataclass
class Hub:
    """The locator of one origin."""

    choice: Candidates = field(default_factory=lambda: Candidates(lambda _job: {"hub": None}))

    def candidates(self, job: Job) -> tuple[str, ...]:
        return self.choice.of(job)

    def reach(self, _job: Job, _source: str) -> Ranges | None:
        return None

    def terms(self, _source: str) -> Terms:
        return Terms()

    def pick(self, _job: Job, _source: str, _free: Ranges) -> int | None:
        return None


class Unheard:
    """A node that has no news, and takes none."""

    def hear(self, teller: str, told: Holding) -> None:
        pass

    def accuse(self, node: str) -> None:
        pass


class World:
    def __init__(self, stack: ExitStack) -> None:
        self.scripted: ScriptedPeer = stack.enter_context(scripted_peer())
        client = PeerClient("me", stack.enter_context(peer_net()), KEYS)
        self.peers = Neighbours(client, tuple, Unheard(), emit=Heard(), most=8)
        self.guide = Nobody(tuple, ((0, PIECE),))
        self.alone = Bits(4)
        self.hub = Hub()
        self.locator = self.locate_with()

    def locate_with(self, **given: Any) -> PeerLocator:
        return PeerLocator(
            cast(Any, self.hub), self.guide, self.peers, alone=lambda _: self.alone, roll=lambda: 0.0, **given
        )

    def tell(self, *pieces: int, node: str = "a", address: str | None = None) -> None:
        holding = Holding(DIGEST, SIZE, Bits.of(4, pieces))
        news = NodeNews(node, 1, HoldingNews(1, [holding]))
        self.peers.table.told(address or self.scripted.address, news)


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def test_peers_come_beside_origins_with_what_they_offer_as_their_reach(world: World) -> None:
    world.tell(1, 2)
    world.tell(2, 3, node="b")
    assert world.locator.candidates(JOB) == ("hub", "peer:a", "peer:b")
    assert world.locator.reach(JOB, "peer:a") == ((PIECE, 3 * PIECE),)
    assert world.locator.reach(JOB, "peer:gone") == ()
    assert world.locator.reach(JOB, "hub") == ((0, PIECE),)
    assert world.locator.pick(JOB, "peer:a", ((0, SIZE),)) == PIECE
    assert world.locator.pick(JOB, "peer:b", ((0, SIZE),)) == 3 * PIECE
    assert world.locator.pick(JOB, "hub", ((0, SIZE),)) is None
    assert world.locator.terms("peer:a").is_direct
    assert (world.locator.terms("hub").connections, world.locator.terms("hub").losing) == (5, 21)


def test_of_many_peers_each_is_asked_over_one_connection() -> None:
    with ExitStack() as stack:
        world, found = World(stack), []
        for name in "abcde":
            world.tell(1, node=name)
            found.append(world.locator.terms("peer:a").connections)
    assert found == [2, 2, 2, 2, 1]


def test_a_closed_blob_and_one_that_is_settled_alone_have_origins_only(world: World) -> None:
    world.tell(1, 2)
    assert world.locator.candidates(CLOSED) == HUB
    assert world.locator.reach(CLOSED, "hub") is None
    assert "peer:a" in world.locate_with(share_restricted=True).candidates(CLOSED)
    world.hub.choice.restrict(JOB, HUB, together=True)
    assert world.locator.candidates(JOB) == ("hub", "peer:a")
    world.hub.choice.restrict(JOB, HUB)
    assert world.locator.candidates(JOB) == HUB
    assert world.locator.reach(JOB, "hub") is None
    assert world.locator.reach(JOB, "peer:a") == ()


def test_a_peer_that_a_dispute_found_lying_is_asked_no_more(world: World) -> None:
    world.tell(1, 2)
    world.hub.choice.ban("peer:a")
    assert world.locator.candidates(JOB) == HUB
    assert [one.is_trusted for one in world.peers.seen()] == [False]


def test_a_piece_that_is_to_come_from_one_is_in_the_reach_of_one(world: World) -> None:
    world.guide.share = None
    world.alone = Bits.of(4, [2, 3])
    world.tell(1, 2)
    world.tell(1, 2, node="b")
    reaches = [world.locator.reach(JOB, name) for name in ("peer:a", "peer:b")]
    assert sorted(map(str, reaches)) == sorted(map(str, [((PIECE, 2 * PIECE),), ((PIECE, 3 * PIECE),)]))
    assert world.locator.reach(JOB, "hub") == ((0, 2 * PIECE), (3 * PIECE, SIZE))


@pytest.mark.parametrize("status", [403, 404, 416])
def test_what_a_peer_no_longer_has_leaves_its_reach_and_is_no_fault(world: World, status: int) -> None:
    world.tell(1, 2)
    world.scripted.reply = (status, {}, b"")
    uri = world.locator.locate(JOB, "peer:a")
    assert world.locator.inspect(JOB, uri, PIECE, PIECE + 10).status == 429
    assert world.locator.reach(JOB, "peer:a") == ((2 * PIECE, 3 * PIECE),)
    with pytest.raises(TemporaryError):
        world.locator.fetch(JOB, "peer:a", 2 * PIECE, 3 * PIECE)
    assert world.locator.candidates(JOB) == HUB


def test_a_busy_peer_keeps_its_reach(world: World) -> None:
    world.tell(1)
    world.scripted.reply = (429, {"Retry-After": "1"}, b"")
    assert world.locator.inspect(JOB, world.locator.locate(JOB, "peer:a"), PIECE, PIECE + 10).status == 429
    with pytest.raises(TemporaryError):
        world.locator.fetch(JOB, "peer:a", PIECE, 2 * PIECE)
    assert world.locator.reach(JOB, "peer:a") == ((PIECE, 2 * PIECE),)


def test_a_peer_that_refuses_connections_is_gone_until_it_is_heard_again(world: World) -> None:
    world.tell(1, address="http://127.0.0.1:9")
    with pytest.raises(SourcesDownError):
        world.locator.fetch(JOB, "peer:a", PIECE, 2 * PIECE)
    assert world.locator.reach(JOB, "peer:a") == ()
    world.peers.table.heard("a")
    assert world.locator.inspect(JOB, Uri("peer:a", "http://127.0.0.1:9/"), PIECE, PIECE + 10).status == 429
    assert world.locator.candidates(JOB) == HUB


def test_bytes_of_a_peer_come_by_an_address_with_a_ticket_and_no_token(world: World) -> None:
    world.tell(1)
    world.scripted.reply = (206, {"Content-Range": f"bytes {PIECE}-{PIECE + 3}/{SIZE}"}, b"abcd")
    with world.locator.fetch(JOB, "peer:a", PIECE, PIECE + 4) as body:
        assert b"".join(body.chunks) == b"abcd"
    uri = world.locator.locate(JOB, "peer:a")
    assert world.scripted.address not in repr(uri)
    assert uri.expires_at is not None
    ((_, path, headers),) = world.scripted.asked
    assert path.startswith(f"/peer/v1/{DIGEST}?n=me&e=")
    assert "Authorization" not in headers
    assert "Cookie" not in headers
