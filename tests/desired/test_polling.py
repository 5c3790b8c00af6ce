"""When followers look: 500 of one repository are a small and even load, whatever began them all at once."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.desired.following import polling
from orchestrator.desired.following.polling import INTERVAL, Poll

NODES = 500
REQUESTS = 2
"""Of `git ls-remote` over https: the refs are asked for in a second one."""


def looks(rolls: random.Random, minutes: int, *, is_urgent: bool, away: range = range(0)) -> Counter[int]:
    """The looks of all nodes in each minute. In the minutes `away` the repository does not answer."""
    queue: list[tuple[float, int, Poll]] = []
    for node in range(NODES):
        poll = polling.first(0.0, INTERVAL, rolls.random(), is_urgent=is_urgent)
        heapq.heappush(queue, (poll.due, node, poll))
    counts: Counter[int] = Counter()
    while queue[0][0] < minutes * 60:
        now, node, poll = heapq.heappop(queue)
        counts[int(now // 60)] += 1
        turn = polling.failed if int(now // 60) in away else polling.answered
        poll = turn(poll, now, INTERVAL, rolls.random())
        assert now < poll.due <= now + INTERVAL * 1.25
        heapq.heappush(queue, (poll.due, node, poll))
    return counts


@pytest.mark.parametrize("is_urgent", [False, True], ids=["all start again", "all are new"])
def test_500_followers_ask_less_than_once_a_minute_each(seed: int, is_urgent: bool) -> None:
    counts = looks(random.Random(seed), 120, is_urgent=is_urgent)
    per_node = REQUESTS * sum(counts.values()) / NODES / 120
    assert per_node < 1
    assert 0.3 < per_node < 0.5
    # New nodes come at once, and know nothing yet; an hour later nobody sees that any more.
    settled = [counts[minute] for minute in range(60, 120)]
    assert REQUESTS * max(settled) < NODES
    assert max(settled) < 3 * sum(settled) / len(settled)


def test_a_repository_that_comes_back_is_not_overrun(seed: int) -> None:
    counts = looks(random.Random(seed), 240, is_urgent=False, away=range(60, 120))
    assert all(REQUESTS * counts[minute] < NODES for minute in range(60, 240)), counts
    # It is heard of again within an interval.
    assert sum(counts[minute] for minute in range(120, 126)) >= NODES


@given(st.floats(1, 86400), st.integers(0, 100), st.floats(0, 1))
def test_what_failed_is_repeated_within_the_interval(interval: float, failures: int, roll: float) -> None:
    for turn in (polling.failed, polling.again):
        poll = turn(Poll(0.0, failures), 100.0, interval, roll)
        assert 100.0 < poll.due <= 100.0 + interval
        assert poll.failures == failures + 1
