"""The dispute over a blob: what is fetched again, from whom, and who is to blame."""

from __future__ import annotations

from orchestrator.core.extents import Extent, Extents
from orchestrator.core.files import Digest
from orchestrator.depot.company import OWN_MATTER, Doubt
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import PieceHash
from orchestrator.swarm.sharing.dispute import BlobDispute, Others
from orchestrator.swarm.sharing.ledger import PieceLedger
from orchestrator.swarm.sharing.settling import Settlement

DIGEST = Digest.parse("sha256:" + "ab" * 32)
SIZE = 4 * PIECE
TRUE = [bytes([piece]) * 16 for piece in range(4)]
FALSE = b"f" * 16
NOBODY = Others((), ())


def ledger(senders: str, wrong: int, source: str, node: str = "far") -> PieceLedger:
    """All is here, from these `senders`; the piece `wrong` is another one, as the `node` publishes that has it of the
    `source`."""
    versions = iter(range(1, 10_000))
    made = PieceLedger(DIGEST, SIZE, "me", lambda: next(versions))
    made.arrive(Extents.of([Extent(n * PIECE, (n + 1) * PIECE, name) for n, name in enumerate(senders.split())]))
    for piece in range(4):
        told = FALSE if piece == wrong else TRUE[piece]
        made.hear("b", piece, PieceHash(told, node, source if piece == wrong else "hub"))
        made.found(piece, told)
    return made


def of(*pieces: int, source: str) -> Extents:
    return Extents.of([Extent(piece * PIECE, (piece + 1) * PIECE, source) for piece in pieces])


def prove(made: PieceLedger, holder: str, hashes: list[bytes]) -> None:
    for piece, hash_ in enumerate(hashes):
        made.hear(holder, piece, PieceHash(hash_, holder, ""))


def dispute() -> BlobDispute:
    return BlobDispute(Settlement("me", DIGEST, 0.0))


def test_alone_it_is_settled_with_the_root_first_what_that_is_not_said_to_have_sent_then_all_of_others() -> None:
    made, it = ledger("hub peer:b peer:b peer:b", 2, "mirror"), dispute()
    assert it.doubt(made, "hub", NOBODY, 100.0) is None
    assert it.doubt(made, "hub", NOBODY, 102.0) == Doubt(of(2, source="mirror"))
    made.replace(((2 * PIECE, 3 * PIECE),))
    made.arrive(Extents.of([Extent(0, 3 * PIECE, "hub"), Extent(3 * PIECE, SIZE, "peer:b")]))
    assert it.doubt(made, "hub", NOBODY, 103.0) is None, "it is not hashed yet"
    made.found(2, TRUE[2])
    last = it.doubt(made, "hub", NOBODY, 103.0)
    assert last == Doubt(Extents.of([Extent(PIECE, 2 * PIECE, "peer:far"), Extent(3 * PIECE, SIZE, "peer:far")]))


def test_what_all_came_from_the_root_is_no_matter_of_a_fleet() -> None:
    made = ledger("hub hub hub hub", 2, "hub", node="me")
    assert dispute().doubt(made, "hub", None, 0.0) == OWN_MATTER


def test_where_another_has_it_proven_its_list_says_what_is_wrong_once_it_is_whole() -> None:
    made, it = ledger("hub peer:b peer:b peer:b", 2, "mirror"), dispute()
    holder = Others(["h"], ())
    prove(made, "h", TRUE[:3])
    assert it.doubt(made, "hub", holder, 100.0) is None
    prove(made, "h", TRUE)
    assert it.doubt(made, "hub", holder, 100.0) == Doubt(of(2, source="mirror"), is_together=True)
    made.replace(((0, SIZE),))
    made.arrive(Extents.of([Extent(0, PIECE, "hub"), Extent(PIECE, SIZE, "peer:h")]))
    assert [made.found(piece, TRUE[piece]) for piece in range(4)] == [None] * 4
    assert made.checked.is_full
    assert made.holding(0).hashes[2] == PieceHash(TRUE[2], "h", "")


def test_a_node_that_published_what_the_root_never_sent_is_to_blame() -> None:
    made, it = ledger("hub peer:b peer:b peer:b", 2, "hub", node="forger"), dispute()
    prove(made, "h", TRUE)
    assert it.doubt(made, "hub", Others(["h"], ()), 100.0) == Doubt(of(2, source="peer:forger"), is_together=True)


def test_who_says_that_what_is_wrong_is_proven_lies() -> None:
    made, it = ledger("hub peer:b peer:b peer:b", 2, "mirror"), dispute()
    prove(made, "liar", [*TRUE[:2], FALSE, TRUE[3]])
    assert it.doubt(made, "hub", Others(["liar"], ()), 100.0) is None
    assert it.liars == ["liar"]


def test_who_tells_another_list_each_time_is_believed_once() -> None:
    made, it = ledger("hub peer:b peer:b peer:b", 2, "mirror"), dispute()
    holder = Others(["liar"], ())
    prove(made, "liar", TRUE)
    assert it.doubt(made, "hub", holder, 100.0) == Doubt(of(2, source="mirror"), is_together=True)
    prove(made, "liar", [FALSE, *TRUE[1:]])
    assert it.doubt(made, "hub", holder, 101.0) is None
    assert it.liars == ["liar"]


def test_who_has_it_proven_tells_all_its_hashes_when_it_hears_of_a_dispute() -> None:
    made = ledger("hub peer:b peer:b peer:b", -1, "")
    made.prove()
    before = made.version
    assert not made.holding(before).hashes
    made.dispute(frozenset({"a"}))
    told = made.holding(before)
    assert told.claims == {"a"}
    assert told.hashes == {piece: PieceHash(TRUE[piece], "me", "") for piece in range(4)}


def test_a_mirror_that_lied_to_a_node_is_not_held_against_it_and_a_forged_word_is() -> None:
    for source, altered in (("mirror", []), ("hub", ["forger"])):
        made, it = ledger("hub hub hub hub", -1, ""), dispute()
        made.hear("forger", 2, PieceHash(FALSE, "forger", source))
        it.doubt(made, "hub", None, 0.0)
        assert [one.peer for one in made.prove()] == altered
