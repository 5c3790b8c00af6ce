"""What is known of peers, by a clock that a test moves."""

from __future__ import annotations

import math

import pytest

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding, HoldingNews, PieceHash
from orchestrator.swarm.peers.table import PeerTable
from orchestrator.swarm.rendezvous import ALIVE_SECONDS
from orchestrator.swarm.units import Bits
from orchestrator.swarm.wire import NodeNews, WholeBlobs

ONE, TWO = (Digest.parse("sha256:" + text * 32) for text in ("ab", "cd"))
SIZE = 4 * PIECE
ADDRESS = "http://a:1"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def news(*holdings: Holding, node: str = "a", epoch: int = 1, accused: str = "") -> NodeNews:
    return NodeNews(node, epoch, HoldingNews(1, holdings, frozenset(accused)))


def holding(*pieces: int, digest: Digest = ONE, hashes: dict[int, PieceHash] | None = None) -> Holding:
    return Holding(digest, SIZE, Bits.of(4, pieces), len(pieces) == 4, hashes or {})


def test_a_peer_offers_what_it_said_last_as_long_as_it_is_heard(clock: Clock) -> None:
    table = PeerTable("me", clock)
    table.told(ADDRESS, news(holding(0, 1)))
    table.told(ADDRESS, news(holding(1, 2)))
    assert {node: list(pieces) for node, pieces in table.offers(ONE).items()} == {"a": [1, 2]}
    assert table.address("a") == ADDRESS
    clock.now += ALIVE_SECONDS
    assert table.live() == {"a"}
    clock.now += 0.1
    assert table.live() == set()
    assert table.offers(ONE) == {}
    table.heard("a")
    assert "a" in table.offers(ONE)
    table.gone("a")
    assert table.offers(ONE) == {}
    assert table.seen()[0].heard == -math.inf


def test_hashes_are_gathered_and_told_to_who_wants_the_blob_later(clock: Clock) -> None:
    table = PeerTable("me", clock)
    first, second = PieceHash(b"1" * 16, "a", "hub"), PieceHash(b"2" * 16, "a", "hub")
    table.told(ADDRESS, news(holding(0, hashes={0: first})))
    table.told(ADDRESS, news(holding(0, 1, hashes={1: second})))
    ((node, told),) = table.hashes([ONE, TWO])
    assert (node, told.hashes) == ("a", {0: first, 1: second})


def test_what_a_peer_lacks_is_not_offered_until_it_says_so_again(clock: Clock) -> None:
    table = PeerTable("me", clock)
    table.told_whole(ADDRESS, WholeBlobs("a", 1, {ONE: SIZE, TWO: SIZE}))
    table.lacks("a", ONE, Bits.of(4, [1]))
    table.lacks("a", TWO)
    assert list(table.offers(ONE)["a"]) == [0, 2, 3]
    assert table.offers(TWO) == {}
    table.told(ADDRESS, news(holding(0, 1, 2, 3)))
    assert table.offers(ONE)["a"].is_full


def test_who_altered_bytes_is_neither_asked_nor_believed(clock: Clock) -> None:
    table = PeerTable("me", clock)
    assert table.accuse("a")
    assert not table.accuse("a")
    assert table.told(ADDRESS, news(holding(0, hashes={0: PieceHash(b"1" * 16, "a", "hub")}))) == ()
    assert table.offers(ONE) == {}
    assert table.live() == set()
    assert table.hashes([ONE]) == []
    assert [one.is_trusted for one in table.seen()] == [False]


def test_one_that_finds_altered_bytes_has_all_others_ask_their_sender_no_more(clock: Clock) -> None:
    table = PeerTable("me", clock)
    for node in "abc":
        table.told(f"http://{node}:1", news(holding(0), node=node))
    assert table.told("http://a:1", news(node="a", accused="b")) == ()
    assert table.distrusted == {"b"}
    assert table.live() == {"a", "c"}
    assert table.offers(ONE).keys() == {"a", "c"}
    assert not table.has_found("b")
    table.told("http://a:1", news(node="a"))
    assert table.distrusted == set()


def test_who_alone_accuses_several_is_believed_no_more_unless_this_node_found_it_too(clock: Clock) -> None:
    table = PeerTable("me", clock)
    for node in "abcd":
        table.told(f"http://{node}:1", news(holding(0), node=node))
    table.told("http://a:1", news(node="a", accused="bc"))
    assert table.distrusted == {"a"}
    table.told("http://d:1", news(node="d", accused="b"))
    assert table.distrusted == {"b", "c"}  # two say so, and of the other one then, too
    table.accuse("a")
    assert table.distrusted == {"a", "b"}


def test_what_schedulers_say_of_liars_counts_as_long_as_they_say_it(clock: Clock) -> None:
    table = PeerTable("me", clock)
    table.told(ADDRESS, news(holding(0)))
    table.shun(["a", "me"])
    assert table.offers(ONE) == {}
    assert table.distrusted == {"a", "me"}
    table.shun([])
    assert table.offers(ONE)


def test_a_node_that_began_anew_has_what_it_says_then(clock: Clock) -> None:
    table = PeerTable("me", clock)
    table.told(ADDRESS, news(holding(0)))
    table.told("http://b:2", news(holding(1, digest=TWO), epoch=2))
    assert table.offers(ONE) == {}
    assert table.address("a") == "http://b:2"


def test_the_view_tells_when_what_a_peer_has_changed(clock: Clock) -> None:
    table = PeerTable("me", clock)
    table.told(ADDRESS, news(holding(0), holding(digest=TWO)))
    mark = table.mark(ONE)
    clock.now += 1
    table.told(ADDRESS, news(holding(0, 1), holding(digest=TWO)))
    (one,) = table.seen()
    assert (one.node, one.heard, one.epoch) == ("a", 101.0, 1)
    assert one.changed == {ONE: 101.0, TWO: 100.0}
    assert table.mark(ONE) > mark
    assert table.seen()[0] is one


def test_of_a_disputed_blob_only_what_has_the_word_of_a_proof_counts(clock: Clock) -> None:
    table = PeerTable("me", clock)
    hashes = {piece: PieceHash(b"1" * 16, "a", source) for piece, source in enumerate(("hub", "mirror", ""))}
    table.told(ADDRESS, news(holding(0, 1, 2, hashes=hashes)))
    table.told_whole("http://b:1", WholeBlobs("b", 1, {ONE: SIZE}))
    table.dispute(ONE)
    assert {node: list(pieces) for node, pieces in table.offers(ONE).items()} == {"a": [2], "b": [0, 1, 2, 3]}
    assert [list(one.holdings[ONE].checked) for one in table.seen()] == [[2], [0, 1, 2, 3]]
    assert table.holders(ONE) == ["b"]
    table.gone("b")
    assert table.holders(ONE) == []
    assert set(table.absent()) == {"b"}


def test_blobs_that_nobody_wants_are_forgotten_and_so_are_peers_that_were_known_for_them(clock: Clock) -> None:
    table = PeerTable("me", clock)
    table.told(ADDRESS, news(holding(0, 1), holding(0, digest=TWO)))
    table.told("http://b:1", news(holding(0, 1), node="b"))
    table.forget([ONE])
    assert not table.offers(ONE)
    assert {one.node: set(one.holdings) for one in table.seen()} == {"a": {TWO}, "b": set()}
    clock.now += 3600
    table.told(ADDRESS, news(holding(0, 1, digest=TWO)))
    table.forget([ONE])
    assert [one.node for one in table.seen()] == ["a"]
