"""Documents of a server: whatever JSON of the right shape it sends is read, or refused, and can be shown."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.documents import decode
from orchestrator.registry.document import TrailEntry, VersionEntry

ENTRY = {"number": 1, "at": 0, "who": "", "deed": "move", "model": "a/b", "name": "p"}
ENTRY |= {"before": "", "after": "", "version": ""}


@given(st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 1e300, 2**53, -(2**53)]))
def test_a_number_is_one_that_can_be_shown_or_is_refused(number: float) -> None:
    for value in (number, json.loads(json.dumps(number))):
        try:
            at = decode(TrailEntry, {**ENTRY, "at": value}).at
        except ValueError:
            continue
        assert time.gmtime(at)
        assert type(at) is float


@pytest.mark.parametrize(("key", "value"), [("size", 10**30), ("size", True), ("size", 1.0), ("at", "1"), ("at", None)])
def test_what_has_another_shape_is_refused(key: str, value: object) -> None:
    entry = {"version": "1.0.0", "digest": "x", "size": 1, "who": "", "at": 1, "more": "is passed over"}
    assert decode(VersionEntry, entry).at == 1
    with pytest.raises(ValueError, match=key):
        decode(VersionEntry, {**entry, key: value})
