"""How long to wait: what the server asked for, or backoff."""

from __future__ import annotations

import pytest

from orchestrator.net.waits import LONGEST_WAIT, asked_wait, backoff


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"api";r=0;t=55'}, 56.0),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 56.0),
        ({"RateLimit": '"api";r=7;t=55'}, None),  # the quota is not the reason
        ({"RateLimit": '"api";r=7;t=55', "Retry-After": "3"}, 3.0),
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": "nonsense"}, None),
        ({}, None),
    ],
)
def test_asked_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers, now=100.0) == seconds


def test_backoff_doubles_up_to_a_limit_and_draws_from_nothing() -> None:
    assert [backoff(attempt, lambda _low, high: high) for attempt in (1, 2, 3, 4, 5, 20)] == [
        0.5,
        1,
        2,
        4,
        8,
        LONGEST_WAIT,
    ]
    assert backoff(9, lambda low, _high: low) == 0.0
