"""Who has been silent for too long: by its own rate, and by what the others do."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.aria2.control import BLOCK, PIECE
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.pace.silence import Silence
from orchestrator.transfer.spans import Span

NOW = 1000.0


def server(latency: float = 0.1, each: float | None = None) -> Server:
    made = Server("a", start=16, most=64)
    made.met(latency)
    made.each = each
    return made


def span(*, silent: float, rate: float = 1e6, begun: float = 60.0, source: str = "a") -> Span:
    """One that began `begun` seconds ago and brought its last byte `silent` seconds ago, at this rate; none at 0."""
    made = Span(source, Path("x"), 0, 64 * PIECE, 64 * PIECE, NOW - begun)
    if rate:
        made.position, made.moved, made.last_rate = 8 * BLOCK, NOW - silent, rate
    return made


def over(spans: list[Span], *, latency: float = 0.1, each: float | None = None) -> list[bool]:
    servers = {name: server(latency, each) for name in {one.source for one in spans}}
    silence = Silence(spans, servers, NOW)
    return [silence.is_over(one) for one in spans]


@pytest.mark.parametrize(("silent", "is_over"), [(0.5, False), (2.9, False), (3.1, True), (30.0, True)])
def test_where_others_flow_it_has_three_seconds(silent: float, is_over: bool) -> None:
    assert over([span(silent=silent, begun=60), span(silent=0.1, begun=60)]) == [is_over, False]


@pytest.mark.parametrize(("silent", "is_over"), [(3.1, False), (19.0, False), (21.0, True)])
def test_where_nobody_flows_one_is_begun_anew_and_the_others_wait(silent: float, is_over: bool) -> None:
    found = over([span(silent=silent + 0.01), *(span(silent=silent) for _ in range(3))])
    assert found == [True, *[is_over] * 3]


@pytest.mark.parametrize(("probes", "seconds"), [(1, 2), (2, 4)])
def test_the_next_one_is_begun_anew_after_a_while(probes: int, seconds: float) -> None:
    """A server that is busy may need longer to answer."""
    asked = server()
    asked.probes = probes
    spans = [span(silent=19.0), span(silent=19.1), span(silent=0, rate=0, begun=seconds - 0.1)]
    for ago, is_over in ((seconds + 0.4, False), (seconds + 0.6, True)):
        asked.probed = NOW - ago
        silence = Silence(spans, {"a": asked}, NOW)
        assert [silence.is_over(one) for one in spans] == [False, is_over, False]


@pytest.mark.parametrize(("count", "seconds"), [(1, 16), (2, 8), (4, 4), (16, 4)])
def test_each_has_the_time_of_a_slow_answer(count: int, seconds: float) -> None:
    """One after the other is begun anew; one that is alone would be, again and again, before its first byte comes."""
    asked = server()
    asked.probes = 9
    spans = [span(silent=0, rate=0, begun=60 + number) for number in range(count)]
    for ago, is_over in ((seconds + 0.4, 0), (seconds + 0.6, 1)):
        asked.probed = NOW - ago
        for one in spans:
            one.begun = one.moved = NOW - ago
        silence = Silence(spans, {"a": asked}, NOW)
        assert sum(silence.is_over(one) for one in spans) == is_over


def test_where_too_many_are_open_so_many_end_that_one_can_begin() -> None:
    few = server()
    few.growth.start(2)
    spans = [span(silent=2.0) for _ in range(5)]
    silence = Silence(spans, {"a": few}, NOW)
    assert sum(silence.is_over(one) for one in spans) == 4


@pytest.mark.parametrize(("silent", "is_over"), [(0.9, False), (1.1, True)])
def test_where_only_younger_ones_flow_the_path_works_and_the_older_are_dead(silent: float, is_over: bool) -> None:
    assert over([span(silent=silent), span(silent=silent), span(silent=0.1, begun=silent - 0.3)])[:2] == [is_over] * 2


def test_younger_ones_of_another_source_say_nothing() -> None:
    assert over([span(silent=2.0), span(silent=0.1, begun=1.0, source="b")]) == [False, False]


@pytest.mark.parametrize(("rate", "is_over"), [(100e3, True), (22e3, True), (15e3, False), (2e3, False)])
def test_a_slow_one_may_be_silent_for_as_long_as_its_blocks_take(rate: float, is_over: bool) -> None:
    """A block of 16 KiB at 15 KB/s takes a second, and four may pass."""
    assert over([span(silent=4.0, rate=rate), span(silent=0.1)])[0] is is_over


def test_its_rate_is_the_one_at_its_last_byte() -> None:
    """`rate` falls while nothing comes, so a patience by that would never end."""
    quiet = span(silent=10.0, rate=1e6)
    quiet.rate = 1.0
    assert over([quiet, span(silent=0.1)])[0]


@pytest.mark.parametrize(("latency", "is_over"), [(0.05, True), (0.6, True), (2.0, False)])
def test_round_trips_count(latency: float, is_over: bool) -> None:
    assert over([span(silent=4.0), span(silent=0.1)], latency=latency)[0] is is_over


@pytest.mark.parametrize(("begun", "is_over"), [(3.4, False), (3.6, True)])
def test_one_that_has_brought_nothing_has_the_time_to_connect_besides(begun: float, is_over: bool) -> None:
    assert over([span(silent=0, rate=0, begun=begun), span(silent=0.1)], latency=0.1)[0] is is_over


def test_what_a_connection_brings_is_known_from_others_before_its_first_byte() -> None:
    assert not over([span(silent=0, rate=0, begun=20), span(silent=0.1)], each=2e3)[0]


def test_what_the_daemon_grants_is_waited_for() -> None:
    """A daemon of others that limits each download to 1 KB/s."""
    quiet = span(silent=30.0)
    assert not Silence([quiet], {"a": server()}, NOW, slowest=1e3).is_over(quiet)


def test_it_tells_whose_fault_it_is() -> None:
    spans = [span(silent=20.0), span(silent=0.1, source="b")]
    silence = Silence(spans, {"a": server(), "b": server()}, NOW)
    assert (silence.holds("a"), silence.holds("b"), silence.is_everywhere(spans[0])) == (True, False, False)
    alone = span(silent=20.0)
    assert Silence([alone], {"a": server()}, NOW).is_everywhere(alone)


def test_a_rate_that_was_next_to_nothing_grants_no_patience_for_days() -> None:
    """A file of two bytes came before; now a server accepts and sends nothing."""
    spans = [span(silent=0, rate=0, begun=30.0) for _ in range(4)]
    assert over(spans, each=0.25) == [True] * 4
