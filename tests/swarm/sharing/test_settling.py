"""Who settles a dispute for all."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Digest
from orchestrator.swarm.holdings import MOST_CLAIMS
from orchestrator.swarm.sharing.settling import Settlement

DIGEST = Digest.parse("sha256:" + "ab" * 32)
GRACE = 2.0


def at(node: str, began: float = 0.0) -> Settlement:
    return Settlement(node, DIGEST, began)


def settlers(nodes: Iterable[Settlement], now: float) -> list[Settlement]:
    return [node for node in nodes if node.is_ours((), now)]


def test_the_first_one_settles_it_once_others_had_a_moment_to_say_the_same() -> None:
    first = at("a")
    assert not first.is_ours((), 100.0)
    assert first.claims == {"a"}
    assert not first.is_ours((), 101.9)
    assert first.is_ours((), 102.0)


@given(st.sets(st.sampled_from("abcdefgh"), min_size=1), st.data())
def test_of_those_that_find_it_at_the_same_time_one_settles_it(names: set[str], data: st.DataObject) -> None:
    nodes = {name: at(name) for name in sorted(names)}
    for node in nodes.values():
        node.is_ours((), 100.0 + data.draw(st.floats(0, 1.0)))
    for node in nodes.values():
        for other in nodes.values():
            node.hear(other.claims, 101.5)
    assert len(settlers(nodes.values(), 103.5)) == 1


def test_who_hears_of_it_before_waits_as_long_as_the_blob_took_twice_and_then_takes_its_place() -> None:
    node = at("a", began=50.0)
    node.hear(["b"], 100.0)
    for now in (100.5, 150.0, 209.0):
        assert not node.is_ours((), now)
        assert node.others(now) == {"b"}
    assert "a" not in node.claims
    assert not node.is_ours((), 210.0)
    assert node.claims == {"a", "b"}
    assert node.is_ours((), 212.0)


def test_who_is_gone_is_not_waited_for() -> None:
    node = at("a")
    node.hear(["b"], 100.0)
    assert not node.is_ours(["b"], 101.0)
    assert node.is_ours(["b"], 103.0)


def test_nobody_is_held_up_by_many_that_claim_it_one_after_the_other() -> None:
    node = at("a", began=99.0)
    now = 100.0
    for name in ("b", "c", "d", "e"):
        node.hear([name], now)
        if node.is_ours((), now):
            break
        now += 50.0
    assert name == "e"
    assert node.is_ours((), now)


def test_who_has_begun_goes_on_and_claims_are_bounded() -> None:
    node = at("a")
    node.is_ours((), 100.0)
    assert node.is_ours((), 102.0)
    node.hear(map(str, range(2 * MOST_CLAIMS)), 103.0)
    assert node.is_ours((), 103.0)
    assert len(node.claims) == MOST_CLAIMS
