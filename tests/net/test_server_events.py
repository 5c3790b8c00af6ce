"""Server-sent events, cut into chunks anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ProtocolError
from orchestrator.net.server_events import ServerEvent, events_in

BODY = b"""id: 7
event: ready
data: {}

:

data: one
data:two
id: 8

id: 9

event: no data

data: torn"""
EVENTS = [ServerEvent("7", "ready", "{}"), ServerEvent("8", "message", "one\ntwo")]


@given(st.lists(st.integers(0, len(BODY))), st.sampled_from((b"\n", b"\r\n")))
def test_events_however_they_are_cut(cuts: list[int], end: bytes) -> None:
    body = BODY.replace(b"\n", end)
    places = [0, *sorted(cuts), len(body)]
    assert list(events_in(body[a:b] for a, b in pairwise(places))) == EVENTS


def test_an_id_stays_until_there_is_another() -> None:
    assert [event.id for event in events_in([b"id: 1\ndata: a\n\ndata: b\n\n"])] == ["1", "1"]


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(ProtocolError):
        list(events_in(b"x" * 65536 for _ in range(100)))
    with pytest.raises(ProtocolError):
        list(events_in(b"data: x\n" * 8192 for _ in range(100)))
