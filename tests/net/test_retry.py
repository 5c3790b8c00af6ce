"""How long to wait: what the server asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.net.retry import BusySites, asked_wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"api";r=0;t=55'}, 56.0),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 56.0),
        ({"RateLimit": '"api";r=7;t=55'}, None),  # the quota is not the reason
        ({"RateLimit": '"api";r=7;t=55', "Retry-After": "3"}, 3.0),
        ({"RateLimit": '"api";t=55;r=0'}, 56.0),
        ({"RateLimit": '"api"; r=0; t=55; pk=:YQ==:'}, 56.0),
        ({"RateLimit": '"burst";r=3;t=1, "daily";r=0;t=55'}, 56.0),
        ({"RateLimit": '"burst";r=0;t=1, "daily";r=0;t=55'}, 56.0),  # the last that is renewed
        ({"RateLimit": '"api";r=0'}, None),  # used up, and not told until when
        ({"RateLimit": "limit=500, remaining=0, reset=55"}, 56.0),
        ({"RateLimit": "limit=500, remaining=7, reset=55"}, None),
        ({"RateLimit-Limit": "500", "RateLimit-Remaining": "0", "RateLimit-Reset": "55"}, 56.0),
        ({"RateLimit-Remaining": "7", "RateLimit-Reset": "55", "Retry-After": "3"}, 3.0),
        ({"RateLimit": '"api";r=0;t=99999999999999999999', "Retry-After": "3"}, 3.0),
        ({"RateLimit": '"api";r=0;t=\u0665\u0665'}, None),  # digits that are not ASCII
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": " 12 "}, 12.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "99999999999999999999"}, None),
        # 30 s after the server's own clock, whatever ours says
        ({"Retry-After": "Fri, 01 Jan 2038 00:00:30 GMT", "Date": "Fri, 01 Jan 2038 00:00:00 GMT"}, 30.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT", "Date": "yesterday"}, 20.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": "nonsense"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers, now=100.0) == seconds


@given(st.dictionaries(st.sampled_from(["RateLimit", "Retry-After", "Date", "RateLimit-Reset"]), st.text()))
def test_any_header_is_a_wait_or_none(headers: dict[str, str]) -> None:
    seconds = asked_wait(headers, now=100.0)
    assert seconds is None or seconds >= 0


def test_a_busy_site_is_left_alone_for_as_long_as_it_said_last() -> None:
    now = 100.0
    busy = BusySites(lambda: now)
    busy.note("https://site/a/b", 30)
    busy.note("https://site/c", 10)
    assert busy.left("https://site") == 30
    assert busy.left("https://site:8443/") == 0
    now = 131.0
    assert busy.left("https://site") == 0
