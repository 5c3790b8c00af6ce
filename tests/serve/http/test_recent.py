"""What was used lately stays, up to a bound."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.serve.http import recent as recent_
from orchestrator.serve.http.recent import Recent


def keys(recent: Recent[int, Any]) -> tuple[int, ...]:
    """The keys that are kept."""
    return tuple(key for key, _ in recent.items())


def test_the_longest_unused_gives_way() -> None:
    recent: Recent[int, str] = Recent(2)
    recent.keep(1, "one")
    recent.keep(2, "two")
    assert recent.get(1) == "one"
    recent.keep(3, "three")
    assert keys(recent) == (1, 3)
    assert recent.get(2) is None
    recent.drop(1)
    recent.drop(1)
    assert keys(recent) == (3,)


def test_the_bound_is_one_of_weights() -> None:
    recent: Recent[int, bytes] = Recent(10, len)
    for number in range(5):
        recent.keep(number, b"1234")
    assert keys(recent) == (3, 4)
    recent.keep(4, b"1")
    recent.keep(5, b"12345")
    assert keys(recent) == (3, 4, 5)
    recent.keep(6, bytes(11))
    assert keys(recent) == (3, 4, 5)
    recent.keep(5, bytes(11))
    assert keys(recent) == (3, 4)


def test_light_ones_without_number_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_, "MOST_VALUES", 2)
    recent: Recent[int, bytes] = Recent(10, len)
    for number in range(4):
        recent.keep(number, b"")
    assert keys(recent) == (2, 3)
