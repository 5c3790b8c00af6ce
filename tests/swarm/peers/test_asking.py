"""Whatever a peer answers, who asks it goes on, and believes only what it asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding, HoldingNews
from orchestrator.swarm.peers.asking import Asker
from orchestrator.swarm.peers.table import PeerTable
from orchestrator.swarm.wire import NodeNews, WholeBlobs

ONE, TWO, OTHER = (Digest.parse("sha256:" + text * 32) for text in ("ab", "cd", "ef"))
WANTED = {ONE: 4 * PIECE, TWO: PIECE}


class Circle:
    """Those who want two blobs."""

    def __init__(self) -> None:
        self.heard: list[Holding] = []

    def wanted(self) -> Mapping[Digest, int]:
        return WANTED

    def hear(self, _node: str, holding: Holding) -> None:
        self.heard.append(holding)

    def meet(self, _node: str, _address: str) -> bool:
        return True

    def changed(self) -> None:
        pass

    def refused(self, _address: str) -> None:
        pass


class Peer:
    """A client whose peer answers as a test says."""

    def __init__(self, sizes: Mapping[Digest, int]) -> None:
        self.sizes = sizes
        self.pieces_of: list[Digest] = []
        self.news_of: Callable[[], NodeNews | None] = lambda: None

    def whole(self, _address: str, _digests: Iterable[Digest]) -> WholeBlobs:
        return WholeBlobs("evil", 1, self.sizes)

    def pieces(self, _address: str, digest: Digest, _size: int) -> None:
        self.pieces_of.append(digest)

    def news(self, _address: str, _after: int, _epoch: int) -> NodeNews | None:
        return self.news_of()


def asker(peer: Peer, table: PeerTable) -> Asker:
    client: Any = peer
    return Asker("http://evil:1", client, table, Circle())


@pytest.mark.parametrize(
    "sizes",
    [
        {ONE: 2**63 - 1, TWO: 2**63 - 1},
        {ONE: PIECE, TWO: 0},
        {Digest.parse(f"sha256:{number:064x}"): 2**50 for number in range(500)},
    ],
    ids=["a size without end", "another size", "what nobody asked for"],
)
def test_only_what_was_asked_for_is_held_and_of_the_size_that_is_listed(sizes: Mapping[Digest, int]) -> None:
    table, peer = PeerTable(), Peer(sizes)
    asker(peer, table).ask_whole()
    assert all(not view.holdings for view in table.seen())
    assert peer.pieces_of == []


def test_what_is_right_beside_it_counts() -> None:
    table, peer = PeerTable(), Peer({ONE: WANTED[ONE], TWO: 2**63 - 1, OTHER: PIECE})
    asker(peer, table).ask_whole()
    assert [set(view.holdings) for view in table.seen()] == [{ONE}]
    assert peer.pieces_of == [ONE]


def test_a_bug_that_an_answer_finds_does_not_end_the_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.swarm.peers.asking._FIRST_WAIT", 0.0)
    table, peer = PeerTable(), Peer(WANTED)
    one = asker(peer, table)
    found = threading.Event()
    answers = iter([MemoryError(), OverflowError("x"), RecursionError(), None])

    def news() -> NodeNews | None:
        error = next(answers, None)
        if error is not None:
            raise error
        found.set()
        return NodeNews("evil", 1, HoldingNews(1, ()))

    peer.news_of = news
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        assert found.wait(20)
        assert thread.is_alive()
    finally:
        one.end()
        thread.join(20)
    assert not thread.is_alive()
