"""Who fetches what from the origin when nobody says so: the rule by itself, and many nodes in simulated time."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from orchestrator.core.extents import union
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.holdings import Holding
from orchestrator.swarm.rendezvous import (
    ALONE_SECONDS,
    STALLED_PIECES,
    STALLED_SECONDS,
    STARVED_SECONDS,
    Moment,
    NodeClocks,
    Other,
    Share,
    needing,
    ranking,
)
from orchestrator.swarm.units import Bits, piece_count, pieces_within
from tests.swarm.simulated import DIGEST, Node, Swarm

MIB = 1 << 20
SIZE = 96 * PIECE
NONE = Bits(96)
ELSE = Digest.parse("sha256:" + "cd" * 32)


def share(node: str, size: int = SIZE) -> Share:
    return Share(node, DIGEST, size, 0.0)


def reach(one: Share, now: float, own: Bits, *others: Other, starved: float = 0.0, idle: float = 1e3) -> Bits:
    """What a node asks for, whose clock began at 0, and that has nothing to do of other blobs."""
    moment = Moment(now, starved, idle, is_alone=not others, waits=now < ALONE_SECONDS)
    return pieces_within(SIZE, one.of(moment, own, others))


def all_that_is_asked(node: str, *others: Other, begins: float = 0.0, seconds: float = 60.0) -> Bits:
    """What a node asks for in the course of time, when it gets at once all that it asks for."""
    one, own, now = share(node), NONE, begins
    while now < begins + seconds:
        own, now = own | reach(one, now, own, *others), now + 0.5
    return own


def test_every_unit_has_one_owner_and_all_nodes_agree() -> None:
    ranks = ranking(["b", "a", "c"], DIGEST, 96)
    assert ranks == ranking(["c", "b", "a"], DIGEST, 96)
    assert all(sorted(nodes) == ["a", "b", "c"] for nodes in ranks)


def test_who_leaves_changes_the_owner_of_its_own_units_only() -> None:
    before, after = ranking("abcd", DIGEST, 96), ranking("abc", DIGEST, 96)
    assert all(one[0] == other[0] for one, other in zip(before, after, strict=True) if one[0] != "d")
    assert all(other[0] == one[1] for one, other in zip(before, after, strict=True) if one[0] == "d")


def test_nodes_that_know_each_other_ask_for_different_pieces() -> None:
    names = ["a", "b", "c"]
    asked = [reach(share(name), 0.0, NONE, *(Other(one, NONE) for one in names if one != name)) for name in names]
    assert all(len(one) for one in asked)
    assert sum(map(len, asked)) == len(asked[0] | asked[1] | asked[2])


def test_what_somebody_offers_is_not_asked_for() -> None:
    assert len(reach(share("a"), 0.0, NONE, Other("b", Bits.full(96)))) == 0


def test_nobody_asks_for_what_it_has() -> None:
    one = share("a")
    asked = reach(one, 0.0, NONE, Other("b", NONE))
    assert not len(reach(one, 0.1, asked, Other("b", NONE)) & asked)


def test_a_node_that_is_alone_begins_with_little_and_goes_on_to_all() -> None:
    one, own = share("a"), NONE
    for tenth in range(20):
        own = own | reach(one, tenth / 10, own)
    assert 0 < len(own) < 96 / 4
    assert len(reach(one, ALONE_SECONDS * 2, own))
    assert all_that_is_asked("a").is_full


def test_two_that_begin_at_once_and_do_not_know_each_other_yet_rarely_ask_for_the_same() -> None:
    asked = [all_that_is_asked(name, seconds=2.0) for name in "abcdef"]
    assert len(asked[0] & asked[1]) <= 96 / 16
    assert sum(map(len, asked)) <= 2 * 96


def test_who_comes_late_lets_the_others_finish_what_they_have_under_way() -> None:
    half = Bits(96, (1 << 48) - 1)
    late, first = share("late"), share("first")
    offer = Other("first", half)
    assert not late.of(Moment(0.0, is_alone=False, settles=True), NONE, [offer])
    assert late.of(Moment(2.0, is_alone=False), NONE, [offer])
    assert len(reach(first, 0.0, half, Other("late", NONE)))


def test_what_others_have_under_way_when_one_comes_stays_theirs() -> None:
    begun, before = Other("old", Bits.of(96, (0, 1))), share("old")
    under_way = before.of(Moment(5.0, is_alone=False), Bits.of(96, (0, 1)), [])
    kept = before.of(Moment(5.1, is_alone=False), Bits.of(96, (0, 1)), [Other("new", NONE)])
    assert kept == under_way
    assert not len(pieces_within(SIZE, kept) & reach(share("new"), 0.0, NONE, begun))


def test_the_clocks_of_a_node_tell_what_it_waits_for() -> None:
    clocks = NodeClocks(0.0, chance=0.5)
    first = clocks.moment(1.0, gets=False, brings=False, others=[])
    assert first == Moment(1.0, starved=1.0 / 1.5, idle=1.0, is_alone=True, waits=True, settles=True)
    alone = clocks.moment(ALONE_SECONDS * 1.6, gets=True, brings=True, others=[])
    assert (alone.waits, alone.settles) == (False, False)
    met = clocks.moment(10.0, gets=True, brings=False, others=[False, True])
    assert (met.is_alone, met.settles, met.starved) == (False, True, 0.0)
    assert not clocks.moment(20.0, gets=True, brings=False, others=[True]).settles


def test_nodes_that_begin_together_do_not_wait_for_each_other() -> None:
    clocks = NodeClocks(0.0, chance=0.5)
    assert not clocks.moment(1.0, gets=False, brings=False, others=[False]).settles
    assert not clocks.moment(1.1, gets=False, brings=False, others=[True]).settles


def test_who_has_something_of_its_own_to_bring_helps_nobody() -> None:
    owned = [unit for unit, nodes in enumerate(ranking(["a", "slow"], DIGEST, 96)) if nodes[0] == "slow"]
    has = Bits.of(96, (unit for unit in range(96) if unit not in owned))
    slow = Other("slow", Bits.of(96, owned[:1]))
    assert not len(reach(share("a"), 50.0, has, slow, idle=0.0))
    assert len(reach(share("a"), 50.0, has, slow))


def test_a_blob_that_others_do_not_want_yet_is_begun_with_little() -> None:
    """Others are there, and may be about to say that they want it, too."""
    one = share("a")
    first = pieces_within(SIZE, one.of(Moment(0.1, is_alone=False), NONE, []))
    later = pieces_within(SIZE, one.of(Moment(5.0, is_alone=False), NONE, []))
    assert min(first) > 0
    assert min(later) == 0


def test_who_is_done_helps_a_slow_node_behind_its_window_and_from_the_back() -> None:
    owned = [unit for unit, nodes in enumerate(ranking(["a", "slow"], DIGEST, 96)) if nodes[0] == "slow"]
    has = Bits.of(96, (unit for unit in range(96) if unit not in owned))
    taken = reach(share("a"), 0.0, has, Other("slow", Bits.of(96, owned[:1])))
    assert len(taken)
    assert set(taken) <= set(owned[9:])
    assert max(owned) in taken


def test_what_a_stalled_node_owns_goes_to_others_whole() -> None:
    owned = [unit for unit, nodes in enumerate(ranking(["a", "dead"], DIGEST, 96)) if nodes[0] == "dead"]
    own = Bits.of(96, (unit for unit in range(96) if unit not in owned))
    one, now = share("a"), 0.0
    while not own.is_full and now < 10 * STALLED_SECONDS:
        own, now = own | reach(one, now, own, Other("dead", NONE)), now + 0.5
    assert own.is_full


def test_on_a_slow_line_a_node_is_given_the_time_that_a_piece_takes_there() -> None:
    owners = [nodes[0] for nodes in ranking(["a", "slow"], DIGEST, 96)]
    mine = [unit for unit, owner in enumerate(owners) if owner == "a"]
    theirs = [unit for unit, owner in enumerate(owners) if owner == "slow"]
    each = 2 * STALLED_SECONDS
    one, brought = share("a"), len(theirs) - 2
    for count in range(1, brought + 1):
        own, slow = Bits.of(96, mine[:count]), Other("slow", Bits.of(96, theirs[:count]))
        reach(one, (count - 1) * each, own, slow, idle=0.0)
    last, own = (brought - 1) * each, Bits.of(96, mine)
    assert not len(reach(one, last + each, own, slow))
    assert set(reach(one, last + (STALLED_PIECES + 1) * each, own, slow)) == set(theirs[brought:])


def test_one_alone_takes_over_when_several_are_done() -> None:
    owned = [unit for unit, nodes in enumerate(ranking(["a", "b", "slow"], DIGEST, 96)) if nodes[0] == "slow"]
    has = Bits.of(96, (unit for unit in range(96) if unit not in owned))
    first = reach(share("a"), 0.0, has, Other("b", has), Other("slow", NONE))
    second = reach(share("b"), 0.0, has, Other("a", has), Other("slow", NONE))
    assert len(first)
    assert len(second)
    assert not len(first & second)


def test_offers_that_bring_nothing_are_believed_for_a_while_only() -> None:
    one, liar = share("a"), Other("liar", Bits.full(96))
    assert not len(reach(one, 10.0, NONE, liar, starved=10.0))
    own, now = NONE, 50.0
    assert len(reach(one, now, own, liar, starved=STARVED_SECONDS * 2))
    while not own.is_full and now < 200.0:
        own, now = own | reach(one, now, own, liar), now + 0.5
    assert own.is_full


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 33 * PIECE + 5, 9 << 30])
def test_all_bytes_of_a_blob_of_any_size_are_asked_for_by_somebody(size: int) -> None:
    names, count = ["a", "b", "c"], piece_count(size)
    shares = {name: share(name, size) for name in names}
    had = dict.fromkeys(names, Bits(count))
    asked: list[tuple[int, int]] = []
    for step in range(4000):
        for name in names:
            others = [Other(one, had[one]) for one in names if one != name]
            ranges = shares[name].of(Moment(step * 0.05, idle=step * 0.05, is_alone=False), had[name], others)
            asked.extend(ranges)
            had[name] = had[name] | pieces_within(size, ranges)
        if len(had["a"] | had["b"] | had["c"]) == count:
            break
    assert union(asked) == ((0, size),)


@dataclass(frozen=True)
class Case:
    """A swarm: how many nodes within how many seconds, the size in MiB, and the most that the origin may send."""

    nodes: int
    joins: float = 2.0
    size: int = 384
    origin: float = 25e6
    line: float = 125e6
    lag: float = 0.4
    slow: float = 1.0
    killed: int = 0
    late: float | None = None
    egress: float = 1.1
    wall: float = 1.4


CASES = {
    "three": Case(3),
    "four": Case(4),
    "eight": Case(8, origin=12.5e6, line=62e6),
    "many-minutes": Case(3, size=384, origin=2.5e6),
    "news-late": Case(4, lag=2.0, egress=1.15),
    "joins-apart": Case(3, joins=10.0, wall=1.8),
    "late": Case(3, late=8.0),
    "killed": Case(4, killed=1, egress=1.15),
    "slow": Case(4, slow=0.1, egress=1.15, wall=3.0),
    "very-slow": Case(4, slow=0.02, egress=1.25, wall=15.0),
    "large": Case(4, size=4096, origin=125e6, wall=1.6),
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", CASES)
def test_a_swarm_gets_one_copy_from_the_origin(name: str, seed: int) -> None:
    case = CASES[name]
    chance = random.Random(seed)
    nodes = [
        Node(f"{chance.getrandbits(64):016x}", chance.uniform(0, case.joins), case.line) for _ in range(case.nodes)
    ]
    nodes[0].line *= case.slow
    if case.late is not None:
        nodes[-1].begins = case.late
    for node in nodes[1 : 1 + case.killed]:
        node.ends = chance.uniform(2, 12)
    ideal = case.size * MIB / case.origin
    swarm = Swarm(nodes, case.size * MIB, origin=case.origin, lag=case.lag, seed=seed)
    swarm.run(100 * ideal)
    assert all(node.done is not None for node in nodes if not node.ends <= swarm.now)
    assert swarm.egress <= case.egress
    assert swarm.now <= case.wall * ideal + case.joins


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(10))
def test_a_swarm_of_anybody_always_ends(seed: int) -> None:
    """Nodes come and go as they like, news are slow, and one offers what it never sends."""
    chance = random.Random(seed)
    nodes = [
        Node(str(number), chance.uniform(0, 20), chance.choice([2e6, 60e6, 125e6]), lies=number == 0)
        for number in range(chance.randint(2, 9))
    ]
    for node in nodes[2:]:
        if chance.random() < 0.4:
            node.ends = node.begins + chance.uniform(0, 30)
    swarm = Swarm(nodes, 100 * MIB, origin=10e6, lag=3.0, seed=seed)
    swarm.run(600)
    assert all(node.done is not None for node in nodes[1:] if node.ends > swarm.now)


def test_a_late_one_gets_all_from_the_others() -> None:
    nodes = [Node(name, begins, 125e6) for name, begins in (("a", 0.0), ("b", 0.5), ("late", 60.0))]
    swarm = Swarm(nodes, 384 * MIB, origin=25e6, lag=0.4, seed=1)
    swarm.run(50)
    before = swarm.egress
    swarm.run(600)
    assert nodes[-1].done is not None
    assert swarm.egress == before


def test_other_blobs_have_other_owners() -> None:
    assert ranking("abc", DIGEST, 96) != ranking("abc", ELSE, 96)


def holds(pieces: int, digest: Digest = DIGEST) -> Mapping[Digest, Holding]:
    """The first so many of four pieces of a blob."""
    return {digest: Holding(digest, 4 * PIECE, Bits.of(4, range(pieces)), is_whole=pieces == 4)}


def test_nobody_is_stayed_for_who_lacks_nothing() -> None:
    assert not needing("m", {DIGEST}, {"a": holds(4), "z": holds(4)})


def test_who_lacks_what_only_this_node_has_is_stayed_for() -> None:
    assert needing("m", {DIGEST}, {"z": holds(2)}) == {"z"}
    assert not needing("m", set(), {"z": holds(2)})
    assert not needing("m", {DIGEST}, {"z": holds(2, ELSE)})


def test_of_two_that_have_all_the_one_with_the_least_name_stays() -> None:
    assert not needing("m", {DIGEST}, {"a": holds(4), "z": holds(2)})
    assert needing("m", {DIGEST}, {"y": holds(4), "z": holds(2)}) == {"z"}


def test_those_who_can_complete_each_other_need_nobody() -> None:
    first, last = (Holding(DIGEST, 4 * PIECE, Bits.of(4, pieces)) for pieces in ((0, 1, 2), (3,)))
    assert not needing("m", {DIGEST}, {"y": {DIGEST: first}, "z": {DIGEST: last}})
