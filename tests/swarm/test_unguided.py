"""The guide of a node without control: what it makes of the answers of its peers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, parse_ref
from orchestrator.core.sources import Origin
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding, Peer
from orchestrator.swarm.rendezvous import ALIVE_SECONDS, ALONE_SECONDS, STARVED_SECONDS
from orchestrator.swarm.unguided import Unguided
from orchestrator.swarm.units import Bits, pieces_within

DIGEST = Digest.parse("sha256:" + "ab" * 32)
REPO: RepoId = parse_ref("org/m").repo
SIZE = 96 * PIECE
NONE, ALL = Bits(96), Bits.full(96)
JOB = Job(DIGEST, SIZE, True, (Origin(REPO, "0" * 40, "model"),))


@dataclass(frozen=True)
class Neighbour:
    node: str
    heard: float
    holdings: Mapping[Digest, Holding] = field(default_factory=dict)
    is_trusted: bool = True
    cache: str = ""


class Node:
    """A guide with its clock, what its node has, and what it sees."""

    def __init__(self, name: str = "me", cache: str = "") -> None:
        self.now = 100.0
        self.own: Bits | None = NONE
        self.seen: list[Neighbour] = []
        among = [Peer("", "http://b:1")]
        self.guide = Unguided(name, lambda: among, cache=cache, clock=lambda: self.now, chance=lambda: 0.5)
        self.guide.see(lambda: self.seen, lambda _digest: self.own)

    def asked(self, seconds: float = 0.2) -> Bits:
        """What the origin is asked for after some time, in which the transfer asks on and on."""
        ends = self.now + seconds
        while self.now < ends:
            self.now += 0.1
            ranges = self.guide.origin(JOB)
        assert ranges is not None
        return pieces_within(SIZE, ranges)


def holds(has: Bits, *, is_whole: bool = False) -> Mapping[Digest, Holding]:
    return {DIGEST: Holding(DIGEST, SIZE, has, is_whole)}


def test_the_peers_are_those_it_was_told_of() -> None:
    assert Node().guide.peers() == [Peer("", "http://b:1")]


def test_a_blob_that_is_not_shared_is_fetched_as_ever() -> None:
    node = Node()
    node.own = None
    assert node.guide.origin(JOB) is None
    node.own = Bits(0)
    assert node.guide.origin(replace(JOB, size=0)) is None


def test_what_a_peer_has_whole_is_not_asked_for() -> None:
    node = Node()
    node.seen = [Neighbour("b", 1e9, holds(NONE, is_whole=True))]
    assert not len(node.asked(10))


def test_a_peer_that_does_not_want_the_blob_owns_nothing_of_it() -> None:
    node = Node()
    node.seen = [Neighbour("b", 1e9, {})]
    assert len(node.asked(ALONE_SECONDS * 2)) >= 3
    owned = pieces_within(SIZE, node.guide.origin(JOB) or ())
    assert min(owned) == 0


def test_a_peer_of_another_size_of_the_blob_does_not_count() -> None:
    node = Node()
    node.seen = [Neighbour("b", 1e9, {DIGEST: Holding(DIGEST, PIECE, Bits.full(1), is_whole=True)})]
    assert len(node.asked(ALONE_SECONDS * 2))


def test_a_peer_that_is_gone_or_not_trusted_offers_nothing() -> None:
    for gone in (Neighbour("b", -1e9, holds(ALL)), Neighbour("b", 1e9, holds(ALL), is_trusted=False)):
        node = Node()
        node.seen = [gone]
        assert len(node.asked(ALONE_SECONDS * 2))


def test_nodes_of_one_cache_are_one_member() -> None:
    def asked(node: Node, *seen: Neighbour) -> Bits:
        node.seen = list(seen)
        node.asked(ALONE_SECONDS)
        return node.asked()

    waits = Neighbour("a-waits", 1e9, holds(NONE), cache="one")
    others = [Neighbour(f"b{number}", 1e9, holds(NONE), cache="two") for number in range(3)]
    alone = asked(Node("a", "one"), Neighbour("two", 1e9, holds(NONE)))
    assert asked(Node("a", "one"), waits, *others) == alone
    # What one of them has, all of them have.
    others[1] = replace(others[1], holdings=holds(ALL))
    assert not len(asked(Node("a", "one"), waits, *others))


def test_who_stops_to_answer_is_succeeded_after_a_while() -> None:
    node = Node()
    node.seen = [Neighbour("b", node.now, holds(ALL))]
    assert not len(node.asked(ALIVE_SECONDS - 0.5))
    assert len(node.asked(ALONE_SECONDS * 2))


def test_offers_that_bring_nothing_are_not_believed_for_ever() -> None:
    node = Node()
    node.seen = [Neighbour("liar", 1e9, holds(ALL))]
    assert not len(node.asked(STARVED_SECONDS))
    assert len(node.asked(STARVED_SECONDS))


def test_a_node_that_gets_something_does_not_starve() -> None:
    node = Node()
    node.seen = [Neighbour("slow", 1e9, holds(ALL))]
    for piece in range(20):
        node.own = Bits.of(96, range(piece))
        assert not len(node.asked(5))


def test_a_node_that_did_nothing_for_a_while_did_not_starve() -> None:
    node = Node()
    node.seen = [Neighbour("b", 1e9, holds(ALL))]
    node.asked(1)
    node.now += 1000
    assert not len(node.asked(1))


def test_between_two_looks_the_answer_stays() -> None:
    node = Node()
    node.seen = [Neighbour("b", 1e9, holds(NONE))]
    node.asked()
    before = node.guide.origin(JOB)
    node.seen = [Neighbour("b", 1e9, holds(ALL))]
    assert node.guide.origin(JOB) == before
    assert not len(node.asked())
