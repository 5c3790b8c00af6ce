"""The ledger of a blob: whatever the order of arrivals, hashes and take-backs, nothing unchecked is passed on."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.extents import Extent, Extents
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import PieceHash
from orchestrator.swarm.sharing.ledger import Altered, PieceLedger
from orchestrator.swarm.units import piece_count

DIGEST = Digest.parse("sha256:" + "ab" * 32)
SIZE = 5 * PIECE + 1000
TRUE = [bytes([piece]) * 16 for piece in range(6)]
FALSE = b"\xff" * 16


def ledger(size: int = SIZE) -> PieceLedger:
    return PieceLedger(DIGEST, size, "me", itertools.count(1).__next__)


def extents(*items: tuple[int, int, str]) -> Extents:
    return Extents.of(Extent(start, end, source) for start, end, source in items)


def word(piece: int, node: str = "far", hash_: bytes | None = None) -> PieceHash:
    return PieceHash(hash_ or TRUE[piece], node, "hub")


def direct(blob: PieceLedger, piece: int, told: PieceHash) -> Altered | None:
    """What a node says of a piece that it fetched itself."""
    return blob.hear(told.node, piece, told)


def test_a_piece_that_came_from_origins_is_checked_and_published() -> None:
    blob = ledger()
    blob.arrive(extents((0, PIECE + 500, "hub"), (PIECE + 500, 2 * PIECE + 9, "mirror")))
    assert list(blob.to_hash) == [0, 1]
    assert blob.found(0, TRUE[0]) is None
    assert blob.found(1, TRUE[1]) is None
    assert list(blob.checked) == [0, 1]
    assert blob.holding(0).hashes == {0: PieceHash(TRUE[0], "me", "hub"), 1: PieceHash(TRUE[1], "me", "hub and mirror")}


def test_a_piece_of_a_peer_waits_for_its_hash() -> None:
    blob = ledger()
    blob.arrive(extents((0, PIECE, "peer:b")))
    blob.found(0, TRUE[0])
    assert not blob.checked
    assert direct(blob, 0, word(0)) is None
    assert list(blob.checked) == [0]
    assert blob.holding(0).hashes == {0: word(0)}


@pytest.mark.parametrize("is_hash_first", [True, False])
def test_a_piece_that_one_peer_altered_accuses_it(is_hash_first: bool) -> None:
    blob = ledger()
    blob.arrive(extents((0, 2 * PIECE, "peer:b")))
    if is_hash_first:
        direct(blob, 1, word(1))
        wrong = blob.found(1, FALSE)
    else:
        assert blob.found(1, FALSE) is None
        wrong = direct(blob, 1, word(1))
    assert wrong == Altered(1, "b")
    assert not blob.checked
    assert list(blob.wrong) == [1]
    assert not blob.alone


def test_a_wrong_piece_of_mixed_senders_accuses_nobody_and_is_to_come_from_one() -> None:
    blob = ledger()
    direct(blob, 0, word(0))
    blob.arrive(extents((0, 9, "peer:b"), (9, PIECE, "peer:c")))
    assert blob.found(0, FALSE) is None
    assert list(blob.alone) == list(blob.wrong) == [0]
    blob.replace(((0, PIECE),))
    blob.arrive(extents((0, PIECE, "peer:c")))
    assert blob.found(0, TRUE[0]) is None
    assert list(blob.checked) == [0]
    assert not blob.alone


def test_what_is_taken_back_is_hashed_again_and_no_longer_published() -> None:
    blob = ledger()
    blob.arrive(extents((0, 3 * PIECE, "hub")))
    for piece in range(3):
        blob.found(piece, TRUE[piece])
    before = blob.version
    blob.replace(((PIECE + 7, PIECE + 8),))
    assert list(blob.checked) == [0, 2]
    assert blob.version > before
    assert 1 not in blob.holding(0).hashes
    assert not blob.to_hash
    blob.arrive(extents((0, 3 * PIECE, "hub")))
    assert list(blob.to_hash) == [1]


def test_the_first_word_counts_until_a_stronger_one_or_its_own_node_corrects_it() -> None:
    blob = ledger()
    blob.hear("x", 0, word(0, "a", FALSE))
    blob.hear("x", 0, word(0, "b", TRUE[1]))
    assert blob.holding(0).hashes[0].hash == FALSE
    direct(blob, 0, word(0, "b", TRUE[1]))
    direct(blob, 0, word(0, "c"))
    assert blob.holding(0).hashes[0].hash == TRUE[1]
    direct(blob, 0, word(0, "b"))
    assert blob.holding(0).hashes[0].hash == TRUE[0]
    blob.hear("x", 0, word(0, "b", FALSE))
    assert blob.holding(0).hashes[0].hash == TRUE[0]


def test_a_corrected_hash_takes_a_checked_piece_back_and_accuses_nobody() -> None:
    blob = ledger()
    blob.arrive(extents((0, PIECE, "peer:b")))
    direct(blob, 0, word(0, "far", FALSE))
    blob.found(0, FALSE)
    assert list(blob.checked) == [0]
    assert direct(blob, 0, word(0, "far")) is None
    assert list(blob.wrong) == [0]
    assert not blob.checked


def test_a_piece_on_which_two_nodes_disagree_stays_and_is_not_passed_on() -> None:
    blob = ledger()
    direct(blob, 0, word(0, "far", FALSE))
    direct(blob, 0, word(0, "b"))
    blob.arrive(extents((0, PIECE, "peer:b"), (PIECE, 2 * PIECE, "peer:c")))
    assert blob.found(0, TRUE[0]) is None
    assert not blob.wrong
    assert not blob.checked
    assert direct(blob, 0, word(0, "far")) is None
    assert list(blob.checked) == [0]


def test_a_peer_that_sends_something_else_than_it_says_altered_it_whoever_is_right() -> None:
    blob = ledger()
    direct(blob, 0, word(0, "far"))
    blob.hear("b", 0, word(0, "other", TRUE[1]))
    blob.arrive(extents((0, PIECE, "peer:b")))
    assert blob.found(0, FALSE) == Altered(0, "b")


def test_who_published_something_else_than_what_is_proven_is_known_once_the_trusted_source_is() -> None:
    blob = ledger()
    blob.distrust("hub")
    direct(blob, 0, word(0, "liar", FALSE))
    blob.hear("b", 1, word(1, "liar", FALSE))
    blob.arrive(extents((0, SIZE, "peer:b")))
    direct(blob, 0, word(0, "b"))
    blob.found(0, TRUE[0])
    blob.found(1, FALSE)
    blob.replace(((PIECE, 2 * PIECE),))
    blob.found(1, TRUE[1])
    assert blob.prove() == [Altered(0, "liar")]


def test_what_this_node_fetched_itself_is_not_contradicted_by_others() -> None:
    blob = ledger()
    direct(blob, 0, word(0, "far", FALSE))
    blob.arrive(extents((0, PIECE, "hub")))
    assert blob.found(0, TRUE[0]) is None
    assert direct(blob, 0, word(0, "other", FALSE)) is None
    assert list(blob.checked) == [0]
    assert blob.holding(0).hashes[0] == PieceHash(TRUE[0], "me", "hub")


def test_a_proven_blob_is_checked_whole_and_publishes_what_is_true() -> None:
    blob = ledger()
    blob.distrust("hub")
    direct(blob, 0, word(0, "liar", FALSE))
    blob.arrive(extents((0, SIZE, "peer:b")))
    blob.found(1, TRUE[1])
    blob.prove()
    assert blob.checked.is_full
    assert blob.is_whole
    exposed = [blob.found(piece, TRUE[piece]) for piece in blob.to_hash]
    assert list(filter(None, exposed)) == [Altered(0, "liar")]
    assert {piece: one.hash for piece, one in blob.holding(0).hashes.items()} == dict(enumerate(TRUE))
    assert direct(blob, 2, word(2, "liar", FALSE)) is None


def test_bytes_can_be_read_where_all_their_pieces_are_checked() -> None:
    blob = ledger()
    blob.arrive(extents((0, 2 * PIECE, "hub"), (5 * PIECE, SIZE, "hub")))
    for piece in (0, 1, 5):
        blob.found(piece, TRUE[piece])
    assert blob.has(5, 2 * PIECE)
    assert blob.has(5 * PIECE, SIZE)
    assert not blob.has(PIECE, 2 * PIECE + 1)
    assert not blob.has(5 * PIECE, SIZE + 1)
    assert not blob.has(7, 7)


def test_a_holding_tells_the_hashes_since_a_version() -> None:
    blob = ledger()
    direct(blob, 4, word(4))
    seen = blob.version
    direct(blob, 2, word(2))
    assert blob.holding(seen).hashes == {2: word(2)}
    assert set(blob.holding(0).hashes) == {2, 4}
    direct(blob, 4, word(4, hash_=FALSE))
    assert set(blob.holding(seen).hashes) == {2, 4}


_STEPS = st.one_of(
    st.tuples(
        st.just("arrive"),
        st.integers(0, SIZE),
        st.integers(0, SIZE),
        st.sampled_from(["hub", "mirror", "peer:b", "peer:c"]),
    ),
    st.tuples(st.just("replace"), st.integers(0, SIZE), st.integers(0, SIZE), st.just("")),
    st.tuples(st.just("hash"), st.integers(0, 5), st.booleans(), st.just("")),
    st.tuples(st.just("hear"), st.integers(0, 5), st.booleans(), st.sampled_from(["a", "b", "me"])),
)


@settings(max_examples=300)
@given(st.lists(_STEPS, max_size=40), st.sampled_from(["b", "x", None]))
def test_nothing_is_passed_on_that_is_not_checked(steps: list[tuple[str, int, int, str]], teller: str | None) -> None:
    """A model of the part: who sent each piece and what hash it has by now, beside the ledger."""
    blob, there, hashed = ledger(), Extents(), dict[int, bytes]()
    told: dict[int, PieceHash] = {}
    version = blob.version
    for kind, one, other, name in steps:
        if kind == "arrive":
            start, end = sorted((one, other))
            there = there.put([Extent(start, end, name)] if start < end else [])
            blob.arrive(there)
        elif kind == "replace":
            start, end = sorted((one, other))
            if start < end:
                there = there.minus(((start, end),))
                for piece in range(start // PIECE, -(-end // PIECE)):
                    hashed.pop(piece, None)
                blob.replace(((start, end),))
        elif kind == "hash" and one in blob.to_hash:
            hashed[one] = TRUE[one] if other else FALSE
            blob.found(one, hashed[one])
        elif kind == "hear":
            blob.hear(teller or name, one, word(one, name, TRUE[one] if other else FALSE))
        fresh = blob.holding(version)
        told.update(fresh.hashes)
        version = blob.version
        published = blob.holding(0).hashes
        assert {piece: told[piece] for piece in published} == dict(published)
        for piece in range(piece_count(SIZE)):
            start, end = piece * PIECE, min(SIZE, (piece + 1) * PIECE)
            is_here = there.reach(start) >= end
            senders = {item.source for item in there.items if item.start < end and item.end > start}
            if piece in blob.checked:
                assert is_here
                assert published[piece].hash == hashed[piece]
            elif is_here and piece in hashed:
                assert any(sender.startswith("peer:") for sender in senders)
                assert piece in published or piece not in blob.wrong
                assert piece not in published or published[piece].hash != hashed[piece]
        assert blob.checked.mask & blob.to_hash.mask == 0
    before = blob.checked
    blob.prove()
    assert (before - blob.checked).mask == 0
    assert blob.checked.is_full


def test_what_no_word_of_the_trusted_source_speaks_for_is_doubted() -> None:
    blob = ledger()
    blob.arrive(
        extents(
            (0, PIECE, "hub"),
            (PIECE, PIECE + 9, "hub"),
            (PIECE + 9, 2 * PIECE, "mirror"),
            (2 * PIECE, 5 * PIECE, "peer:b"),
            (5 * PIECE, SIZE, "peer:c"),
        )
    )
    for piece in range(6):
        blob.found(piece, TRUE[piece])
    for piece, source in ((2, "hub"), (3, "mirror"), (4, "hub and mirror")):
        blob.hear("b", piece, PieceHash(TRUE[piece], "far", source))
    assert len(blob.checked) == 5
    assert blob.distrust("hub") == extents(
        (PIECE, 2 * PIECE, "mirror"), (3 * PIECE, 5 * PIECE, "mirror"), (5 * PIECE, SIZE, "")
    )
    assert blob.foreign() == extents(
        (PIECE, 2 * PIECE, "mirror"),
        (2 * PIECE, 3 * PIECE, "peer:far"),
        (3 * PIECE, 5 * PIECE, "mirror"),
        (5 * PIECE, SIZE, ""),
    )
    blob.replace(((0, SIZE),))
    assert set(blob.holding(0).hashes) == {2}
    blob.hear("b", 3, PieceHash(TRUE[3], "far", "mirror"))
    blob.hear("c", 4, PieceHash(TRUE[4], "c", ""))
    assert set(blob.holding(0).hashes) == {2, 4}
