"""Every status from 400 to 599: the table, what `Net` does by it, and what a refusal becomes."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import pytest

from orchestrator.errors import NotAllowedError, NotFoundError, ProtocolError, TemporaryError
from orchestrator.net.session import Net
from orchestrator.net.statuses import TABLE, Then, meaning
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub

INFO = "/api/models/org/m/revision/main"
AGAIN = {408, 421, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 527, 529, 530}
DENIED, ABSENT = {401, 403, 451}, {404, 410}


@pytest.mark.parametrize("status", range(400, 600))
def test_each_status_has_one_meaning(status: int) -> None:
    row = meaning(status)
    if status in AGAIN:
        assert (row.then, row.error) == (Then.RETRY, TemporaryError)
        assert row.error.retryable
        return
    kind = NotAllowedError if status in DENIED else NotFoundError if status in ABSENT else ProtocolError
    assert (row.then, row.error) == (Then.ELSEWHERE, kind)
    assert not row.error.retryable


def test_what_is_no_error_is_no_error() -> None:
    followed = {status for status, row in TABLE.items() if row.then is Then.FOLLOW}
    assert followed == {s for s in HTTPStatus if 300 <= s < 400} - {300, 304, 305}
    assert [status for status, row in TABLE.items() if row.then is Then.TAKE] == [200]


def test_all_of_them_on_the_wire(hub: LoopbackHub, make_net: Callable[..., Net], waits: list[float]) -> None:
    """RETRY is asked again, twice here, with doubling waits; all else is one answer for the caller."""
    net = make_net()
    for status in range(400, 600):
        hub.clear_faults()
        hub.log.reset()
        waits.clear()
        hub.fault(Fault("status", status=status, times=2))
        answer = net.get_json(hub.url + INFO)
        if meaning(status).then is Then.RETRY:
            assert (answer.status, waits) == (200, [0.5, 1]), status
        else:
            assert (answer.status, waits, len(hub.log.requests())) == (status, [], 1), status


@pytest.mark.parametrize("status", sorted(AGAIN))
def test_any_of_them_may_say_when(
    hub: LoopbackHub, make_net: Callable[..., Net], waits: list[float], status: int
) -> None:
    hub.fault(Fault("status", status=status, times=1, headers={"Retry-After": "7"}))
    assert make_net().get_json(hub.url + INFO).status == 200
    assert waits == [7]
