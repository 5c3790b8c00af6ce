"""Who is believed."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.swarm.trust import distrusted, trusted_nodes
from orchestrator.swarm.view import FleetView, NodeState
from tests.swarm.fleets import NAMES, NOW, node


def by(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_one_accusation_is_enough() -> None:
    assert distrusted([{"liar": by("a")}]) == {"liar"}


def test_who_alone_accuses_several_is_not_believed() -> None:
    assert distrusted([{"a": by("slanderer")}, {"b": by("slanderer")}]) == {"slanderer"}


def test_who_is_not_alone_is_believed() -> None:
    assert distrusted([{"one": by("a", "b"), "two": by("a", "c")}]) == {"one", "two"}


def test_somebody_is_believed_where_all_are_accused() -> None:
    each_other = [{"a": by("b"), "b": by("a")}]
    assert distrusted(each_other, {"a", "b", "c"}) == {"a", "b"}
    assert len(distrusted(each_other, {"a", "b"})) == 1
    assert distrusted([{"a": by("b", "c"), "b": by("a"), "c": by("a", "b")}], {"a", "b", "c"}) == {"a", "c"}


def test_nobody_accuses_itself() -> None:
    assert distrusted([{"a": by("a")}]) == frozenset()


@given(st.frozensets(st.sampled_from(NAMES)), st.sampled_from(NAMES))
def test_a_node_that_nobody_accuses_and_that_accuses_one_at_most_is_believed(
    accusers: frozenset[str], liar: str
) -> None:
    assert distrusted([{liar: accusers}]) <= {liar}


def test_who_does_not_live_is_not_trusted() -> None:
    told = {
        "a": node("a"),
        "b": node("b", beat=NOW - 7),
        "c": node("c", state=NodeState.LOST),
        "d": node("d", state=NodeState.DRAINING),
    }
    assert trusted_nodes(FleetView(told, {}), NOW) == {"a", "d"}
