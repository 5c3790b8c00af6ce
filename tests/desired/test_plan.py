"""desired - actual = plan: what is done in which order, whatever the sets, budgets and clocks."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.speeds import parse_windows
from orchestrator.desired.plan import Actual, Desired, Fetch, FlipSet, KeptSet, Prune, Repair, Wait, plan
from orchestrator.desired.wish.document import SetBudget

NIGHT = parse_windows("22:00-06:00")
blobs = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100), max_size=4)
SIZES = dict(zip("abcdef", (10, 20, 30, 40, 50, 60), strict=True))


def sized(names: frozenset[str]) -> dict[str, int]:
    return {name: SIZES[name] for name in names}


sets = st.frozensets(st.sampled_from("abcdef"), max_size=4)
budgets = st.builds(
    SetBudget,
    disk=st.none() | st.integers(0, 250),
    speed=st.none(),
    windows=st.sampled_from(((), NIGHT)),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Desired | None, Actual, float, SetBudget, float]:
    names = draw(st.lists(st.integers(0, 5), unique=True, max_size=4))
    kept: list[KeptSet] = []
    for number in names:
        content: frozenset[str] = draw(sets)
        left: float = draw(st.floats(0, 2000))
        kept.append(KeptSet(f"set-{number}", sized(content), left))
    has_current: bool = draw(st.booleans())
    if kept and has_current:
        kept[0] = replace(kept[0], left=None, lacking=frozenset(draw(st.sets(st.sampled_from("xy")))))
    wish = draw(st.none() | st.integers(0, 7))
    desired = None if wish is None else Desired(f"set-{wish}", frozenset("xyz"), sized(draw(sets)))
    lacking = frozenset(draw(st.sets(st.sampled_from("xyz"))))
    actual = Actual(tuple(kept), lacking, draw(st.integers(0, 1439)))
    return desired, actual, draw(st.floats(0, 3000)), draw(budgets), draw(st.floats(0, 1000))


@given(worlds())
def test_no_plan_takes_what_readers_have_or_shall_have(
    world: tuple[Desired | None, Actual, float, SetBudget, float],
) -> None:
    desired, actual, now, budget, grace = world
    steps = plan(desired, actual, now, budget, grace)
    pruned = {step.digest for step in steps if isinstance(step, Prune)}
    current = actual.current
    assert current is None or current.digest not in pruned
    assert desired is None or desired.digest not in pruned
    for step in steps:
        if isinstance(step, FlipSet):
            assert desired is not None
            assert step.digest == desired.digest
            assert not actual.lacking, "half a set was shown"
        if isinstance(step, Fetch):
            assert budget.is_open(actual.minute)
    over = {one.digest for one in actual.kept if one.left is not None and now >= one.left + grace}
    assert over - {desired.digest if desired else ""} <= pruned, "a grace that is over is over"
    if budget.disk is None:
        assert pruned <= over, "a set went before its time, and nobody needed the room"


@given(worlds())
def test_a_set_over_the_budget_is_never_fetched(world: tuple[Desired | None, Actual, float, SetBudget, float]) -> None:
    desired, actual, now, budget, grace = world
    steps = plan(desired, actual, now, budget, grace)
    if desired is None or budget.disk is None or not any(isinstance(step, Fetch) for step in steps):
        return
    pruned = {step.digest for step in steps if isinstance(step, Prune)}
    stay = dict(desired.blobs)
    for one in actual.kept:
        if one.digest not in pruned and one.digest != desired.digest:
            stay |= one.blobs
    assert sum(stay.values()) <= budget.disk


@given(worlds())
def test_doing_the_plan_ends_at_what_is_desired(world: tuple[Desired | None, Actual, float, SetBudget, float]) -> None:
    """A node that can fetch, in its hours, within its budget, comes to rest with the desired set in front."""
    desired, actual, now, budget, grace = world
    budget = SetBudget(disk=None if budget.disk is None else 10_000)
    for _ in range(10):
        steps = plan(desired, actual, now, budget, grace)
        if not steps:
            break
        kept = {one.digest: one for one in actual.kept}
        for step in steps:
            match step:
                case Prune(digest):
                    kept.pop(digest)
                case Repair():
                    kept = {key: replace(one, lacking=frozenset()) for key, one in kept.items()}
                case Fetch():
                    actual = replace(actual, lacking=frozenset())
                case FlipSet(digest):
                    assert desired is not None
                    kept = {key: one if one.left is not None else replace(one, left=now) for key, one in kept.items()}
                    kept[digest] = KeptSet(digest, desired.blobs)
                case Wait():
                    raise AssertionError("nothing is in the way")
        actual = replace(actual, kept=tuple(kept.values()))
    else:
        raise AssertionError("it does not come to rest")
    if desired is not None:
        assert actual.current is not None
        assert actual.current.digest == desired.digest


def test_the_window_holds_new_sets_and_no_repair() -> None:
    wish = Desired("new", frozenset("x"), {"a": 10})
    actual = Actual((KeptSet("old", {"b": 5}, lacking=frozenset("y")),), frozenset("x"), minute=12 * 60)
    assert plan(wish, actual, 0, SetBudget(windows=NIGHT), 60) == (Repair(frozenset("y")), Wait())
    night = replace(actual, minute=23 * 60)
    assert plan(wish, night, 0, SetBudget(windows=NIGHT), 60) == (Repair(frozenset("y")), Fetch(frozenset("x")))


def test_old_sets_make_room_before_their_time_and_the_oldest_goes_first() -> None:
    wish = Desired("new", frozenset("x"), {"a": 50})
    kept = (KeptSet("now", {"b": 30}), KeptSet("older", {"c": 20}, 10.0), KeptSet("old", {"d": 20}, 20.0))
    actual = Actual(kept, frozenset("x"))
    assert plan(wish, actual, 30, SetBudget(disk=120), 1000) == (Fetch(frozenset("x")),)
    assert plan(wish, actual, 30, SetBudget(disk=100), 1000) == (Prune("older"), Fetch(frozenset("x")))
    assert plan(wish, actual, 30, SetBudget(disk=79), 1000) == (Prune("older"), Prune("old"), Wait(1))
