"""Places of statuses: what is none is refused, and is no bug."""

from __future__ import annotations

import pytest

from orchestrator.app.desired.asking import ask
from orchestrator.errors import UsageError

LONG = "a" * 70


@pytest.mark.parametrize(
    "place",
    [
        *("http://[::1", "http://[x]:8093", "http://node:99999", "http://node:abc", "http://node..example"),
        *(f"http://{LONG}.example", "http://", "https://node:8093", "http://me@node:8093", "http://\u2100"),
    ],
)
def test_what_is_no_address_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="is no place of a status"):
        ask([place])


def test_a_file_that_is_not_there_is_a_node_that_is_away() -> None:
    (answer,) = ask(["none/status.json"])
    assert (answer.status, answer.error) == (None, "No such file or directory")
