"""The budget: never over it, nobody waits for ever, the limit on files holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.budget import SMALL, Budget
from orchestrator.aria2.interface import Limits

LIMITS = st.builds(
    Limits,
    connections_per_mirror=st.integers(1, 16),
    mirrors=st.integers(1, 4),
    budget=st.integers(1, 128),
    jobs=st.none() | st.integers(1, 20),
)
SIZES = st.lists(st.integers(0, SMALL - 1) | st.integers(SMALL, 1 << 36), min_size=1, max_size=60)


def start(limits: Limits, running: list[tuple[int, int]], waiting: list[int]) -> list[tuple[int, int]]:
    """What the feeder starts in one round; `waiting` loses it."""
    budget = Budget.of(limits, running, waiting)
    started = []
    for size in list(waiting):
        if budget.is_spent:
            break
        if connections := budget.offer(size):
            budget.take(size, connections)
            started.append((size, connections))
            waiting.remove(size)
    return started


@given(LIMITS, SIZES, st.randoms(use_true_random=False))
def test_all_are_started_within_the_limits(limits: Limits, sizes: list[int], chance) -> None:  # type: ignore[no-untyped-def]
    waiting, running = list(sizes), []
    for _ in range(2 * len(sizes) + 1):
        running += start(limits, running, waiting)
        big = sum(connections for size, connections in running if size >= SMALL)
        small = sum(size < SMALL for size, _ in running)
        assert big <= limits.budget
        if not big:
            assert small <= 4 * limits.budget  # what waits inside aria2 has no connection
        assert limits.jobs is None or len(running) <= limits.jobs
        assert all(connections >= 1 for _, connections in running)
        assert all(connections == 1 for size, connections in running if size < SMALL)
        most = limits.connections_per_mirror * limits.mirrors
        assert all(connections <= min(most, limits.budget) for _, connections in running)
        if not running and not waiting:
            return
        assert running, "nothing runs and something waits: it would wait for ever"
        running.remove(chance.choice(running))
    raise AssertionError("they were not all started")


@given(LIMITS, st.lists(st.integers(SMALL, 1 << 36), min_size=1, max_size=10), st.integers(1, 40))
def test_small_files_do_not_wait_for_big_ones(limits: Limits, big: list[int], count: int) -> None:
    if limits.budget < 4 or (limits.jobs or 99) < len(big) + 1:
        return
    waiting = [*big, *[100] * count]
    started = start(limits, [], waiting)
    assert any(size < SMALL for size, _ in started)
    assert any(size >= SMALL for size, _ in started)


def test_one_big_file_gets_all_that_it_can_use() -> None:
    limits = Limits(connections_per_mirror=16, mirrors=2, budget=64)
    assert start(limits, [], [1 << 30]) == [(1 << 30, 32)]
    assert start(limits, [], [3 << 20]) == [(3 << 20, 3)]


def test_sixty_four_small_files_and_more_are_under_way() -> None:
    assert len(start(Limits(budget=64), [], [1000] * 500)) == 256
