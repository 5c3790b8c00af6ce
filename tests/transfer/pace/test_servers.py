"""What is made of a source: more connections while they help, fewer when it complains, and an end to patience."""

from __future__ import annotations

import pytest

from orchestrator.errors import TemporaryError
from orchestrator.transfer.pace.servers import Server

POLL = 0.05


def busy(server: Server, seconds: float, rate_of: object, now: float = 100.0) -> float:
    """Let it send for a while with all the connections that it may have."""
    for _ in range(round(seconds / POLL)):
        now += POLL
        server.line.look(now, int(rate_of(server.allowed) * POLL), spare=64)  # type: ignore[operator]
        server.observe(now, int(rate_of(server.allowed) * POLL), server.allowed)  # type: ignore[operator]
    return now


def test_a_near_source_begins_with_two_and_gets_more_while_that_helps() -> None:
    server = Server("near", start=16, most=64)
    server.met(0.001)
    assert server.allowed == 2
    busy(server, 30, lambda connections: 1e6 * connections)
    assert server.allowed == 64


def test_a_far_source_begins_with_all_that_a_file_may_have() -> None:
    server = Server("far", start=16, most=64)
    server.met(0.2)
    assert server.allowed == 16


def test_connections_that_bring_nothing_are_given_back() -> None:
    server = Server("capped", start=16, most=64)
    server.met(0.1)
    busy(server, 15, lambda connections: 10e6)
    assert server.allowed == 16


def test_a_source_that_complains_gets_fewer_for_a_while() -> None:
    server = Server("strict", start=16, most=64)
    server.met(0.1)
    server.slow_down(100.0)
    assert server.allowed == 8
    busy(server, 10, lambda connections: 1e6 * connections)
    assert server.allowed == 8
    for _ in range(10):
        server.slow_down(120.0)
    assert server.allowed == 1


def test_five_failures_in_a_row_end_it_and_those_of_one_moment_count_once() -> None:
    server = Server("broken", start=16, most=64)
    now, failures = 100.0, 0
    while not server.down and failures < 100:
        for _ in range(16):
            server.fail(TemporaryError("broken"), now, has_others=False)
        failures += 1
        assert server.not_before - now <= 8.0
        now = max(now, server.not_before) + 0.001
    assert failures == 5


def test_one_that_was_given_up_is_tried_as_if_it_were_new() -> None:
    server = Server("broken", start=16, most=64, is_rangeless=True)
    server.forgive()
    seen = [(server.down is None, server.is_rangeless)]
    for now in (100.0, 200.0):
        server.fail(TemporaryError("broken"), now, has_others=True)
    seen.append((server.down is None, server.is_rangeless))
    server.forgive()
    seen.append((server.down is None, server.is_rangeless))
    assert seen == [(True, True), (False, True), (True, False)]
    assert (server.strikes, server.not_before) == (0, 0.0)


def test_one_that_brings_a_little_each_time_is_given_up_only_where_another_stands_in() -> None:
    server, now = Server("breaks", start=16, most=64), 100.0
    for _ in range(8):
        server.fail(TemporaryError("broken"), now, has_others=False, has_gain=True)
        now = server.not_before + 0.001
    assert (server.strikes, server.down) == (8, None)  # the wait grows with the strikes
    server.fail(TemporaryError("broken"), now, has_others=True, has_gain=True)
    assert server.down is not None


def test_progress_renews_patience() -> None:
    server = Server("shaky", start=16, most=64)
    now = 100.0
    for _ in range(50):
        server.fail(TemporaryError("broken"), now, has_others=False)
        server.succeed()
        now = server.not_before + 0.001
    assert server.down is None


@pytest.mark.parametrize(("rate", "is_hopeless"), [(20e3, True), (2e6, False)])
def test_a_source_that_adds_next_to_nothing(rate: float, is_hopeless: bool) -> None:
    server = Server("slow", start=4, most=64)
    server.met(0.1)
    busy(server, 2, lambda connections: rate)
    assert server.is_hopeless(20e6 + server.rate) is is_hopeless


def test_one_that_was_asked_for_nothing_is_not_hopeless() -> None:
    server = Server("good", start=4, most=64)
    server.met(0.1)
    now = busy(server, 2, lambda connections: 10e6)
    for _ in range(200):
        now += POLL
        server.observe(now, 0, 0)
    assert server.rate < 10e3
    assert not server.is_hopeless(20e6)


def test_a_hopeless_one_is_measured_again_after_a_while() -> None:
    server = Server("slow", start=4, most=64)
    server.met(0.1)
    now = busy(server, 2, lambda connections: 20e3)
    server.rest(now)
    assert not server.is_hopeless(20e6)
    assert server.resting_until >= now + 10
    busy(server, 2, lambda connections: 20e3, server.resting_until)
    assert server.is_hopeless(20e6)


def test_one_that_has_not_answered_yet_is_not_tried_with_more() -> None:
    """Its connections are couriers that wait."""
    server = Server("slow", start=16, most=64)
    for second in range(60):
        server.observe(float(second), 0, 8)
    assert server.allowed == 0
    server.met(0.3)
    assert server.allowed == 16


@pytest.mark.parametrize(("is_bounded", "settled"), [(False, 16), (True, None)])
def test_a_run_with_a_limit_learns_no_number(is_bounded: bool, settled: int | None) -> None:
    server = Server("far", start=16, most=64, is_bounded=is_bounded)
    server.met(0.2)
    busy(server, 15, lambda connections: 10e6)
    assert server.settled == settled


def test_a_run_in_which_nothing_was_tried_learns_no_number() -> None:
    server = Server("far", start=64, most=64)
    server.met(0.2)
    busy(server, 15, lambda connections: 10e6)
    assert server.settled is None


def test_small_files_tell_no_rate() -> None:
    server = Server("hub", start=16, most=64)
    server.met(0.1)
    busy(server, 3, lambda _: 400)
    assert server.each is None
    busy(server, 3, lambda connections: 1e5 * connections, now=200.0)
    assert server.each is not None
