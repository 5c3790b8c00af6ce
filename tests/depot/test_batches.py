"""When a batch begins, and what is in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.depot.batches import Batches
from tests.plain import Clock


def test_one_batch_at_a_time_and_not_too_often() -> None:
    clock, begun = Clock(), list[Sequence[int]]()
    batches: Batches[int] = Batches(0.5, clock)
    assert batches.poll(begun.append) == math.inf
    batches.add(1)
    batches.add(2)
    assert batches.poll(begun.append) == math.inf
    assert begun == [(1, 2)]
    batches.add(3)
    clock.now += 9
    assert batches.poll(begun.append, at_once=True) == math.inf
    assert not batches.is_idle
    batches.ended()
    clock.now -= 8.75
    assert batches.poll(begun.append) == clock.now + 0.25
    assert batches.poll(begun.append, at_once=True) == math.inf
    assert begun == [(1, 2), (3,)]
    batches.ended()
    assert batches.is_idle
