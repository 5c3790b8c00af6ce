"""How many connections leave a line usable: the rules, against a line of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from orchestrator.system.tcp_info import TcpPath
from orchestrator.transfer.pace.manners import FIRST, Delays, Limited, Manners, Polite, window

WINDOW = 16 << 10
TICK = 0.25


@dataclass
class Line:
    """A line of `rate` bytes/s and a round trip of `base` seconds. Others have `others` bytes on their way."""

    rate: float = 2.5e6
    base: float = 0.06
    others: float = 0.0

    def carries(self, connections: int) -> tuple[float, float]:
        """Our rate, and the delay in its queue."""
        mine = connections * WINDOW
        inside = max(mine + self.others, 1.0)
        delay = max(0.0, inside / self.rate - self.base)
        return mine / (self.base + delay), delay


@dataclass
class Run:
    """A polite run over a line, tick by tick; nothing happens at once: what is seen is that of the tick before."""

    line: Line = field(default_factory=Line)
    polite: Polite = field(default_factory=Polite)
    now: float = 100.0

    def goes(self, seconds: float) -> list[float]:
        """Our rates."""
        rates = []
        for _ in range(round(seconds / TICK)):
            used = int(self.polite.connections)
            rate, delay = self.line.carries(used)
            self.now += TICK
            self.polite.look(self.now, rate, delay, self.line.base, used=used, most=64)
            rates.append(rate)
        return rates


@pytest.mark.parametrize("line", [Line(), Line(rate=12.5e6, base=0.03), Line(rate=1e6, base=0.2)])
def test_a_line_that_is_free_is_filled_with_a_short_queue(line: Line) -> None:
    run = Run(line)
    run.goes(10)
    assert min(run.goes(10)) >= 0.9 * min(line.rate, 64 * WINDOW / line.base)
    _, delay = line.carries(int(run.polite.connections))
    assert delay <= 0.02 + 0.4 * line.base


@pytest.mark.parametrize("others", [200e3, 400e3, 2.5e6])
def test_it_gives_way_within_two_seconds_and_comes_back(others: float) -> None:
    run = Run()
    run.goes(10)
    run.line.others = others
    run.goes(2)
    assert run.polite.connections == 1
    # The queue of the others is there for as long as they are.
    assert sum(run.goes(30)) / (30 / TICK) <= 0.08 * run.line.rate
    run.line.others = 0.0
    run.goes(6)
    assert min(run.goes(5)) >= 0.8 * run.line.rate


def test_what_others_leave_is_taken() -> None:
    """Others that build no queue leave a part of the line."""
    run = Run()
    run.line.others = 75e3
    rates = run.goes(20)
    assert sum(rates[-20:]) / 20 >= 0.4 * run.line.rate


def test_a_line_that_became_slower_is_found_out() -> None:
    run = Run()
    run.goes(10)
    run.line.rate /= 3
    run.goes(600)
    assert sum(run.goes(60)) / (60 / TICK) >= 0.7 * run.line.rate


@pytest.mark.parametrize(("limit", "base"), [(1.6e6, 0.06), (1.6e6, 0.25), (2e5, 0.06)])
def test_connections_are_added_until_the_limit_is_met(limit: float, base: float) -> None:
    each = (window(round(limit), is_polite=False) or 0) / base
    limited = Limited(round(limit))
    for step in range(20):
        rate = limited.connections * each
        limited.look(step * 1.5, rate, rate, 64)
    assert 0.95 * limit <= limited.connections * each
    assert (limited.connections - 1) * each <= 1.1 * limit


def test_too_many_are_taken_back() -> None:
    assert Limited(1_000_000, connections=20).look(0.0, 2e6, 1e6, 64) == 10


def test_a_pause_after_too_much_is_no_reason_for_more() -> None:
    limited = Limited(1_000_000)
    assert limited.look(0.0, 0.0, 1e6, 64) == FIRST


def test_where_the_line_is_slower_than_the_limit_few_more_are_tried() -> None:
    limited = Limited(10_000_000)
    found = [limited.look(step * 1.5, 1e6, 1e6, 64) for step in range(12)]
    assert max(found) <= 2 * FIRST


@pytest.mark.parametrize(
    ("max_speed", "is_polite", "known", "found"),
    [
        (None, False, 1e9, None),
        (1_638_400, False, 0.0, 13107),
        (1000, False, 0.0, 8 << 10),
        (10**9, False, 0.0, 208 << 10),
        (None, True, 0.0, 16 << 10),
        (None, True, 8e6, 208 << 10),
        (None, True, 1e6, 31250),
        (1_638_400, True, 8e6, 13107),
    ],
)
def test_the_window_of_a_connection(max_speed: int | None, is_polite: bool, known: float, found: int | None) -> None:
    assert window(max_speed, is_polite=is_polite, known=known) == found


def path(port: int, round_trip: float, received: int, *, peer: bytes = b"a", least: float = 0.06) -> TcpPath:
    return TcpPath(4, port, peer, least, round_trip, received, packets=10, late=0)


def test_a_delay_is_what_exceeds_the_shortest_round_trip_to_the_same_place() -> None:
    delays = Delays()
    assert delays.look(0.0, ()) is None
    assert delays.look(1.0, [path(1, 0.07, 10)]) == pytest.approx(0.01)
    # One that began behind a queue says the same as those that did not.
    found = delays.look(2.0, [path(1, 0.16, 20), path(2, 0.16, 5, least=0.16), path(3, 0.2, 5, peer=b"b", least=0.1)])
    assert found == pytest.approx(0.1)
    assert delays.base == pytest.approx(0.06)


def test_what_brings_nothing_says_nothing() -> None:
    delays = Delays()
    delays.look(0.0, [path(1, 0.2, 10)])
    assert delays.look(1.0, [path(1, 0.2, 10)]) is None


def test_routes_change() -> None:
    delays = Delays()
    delays.look(0.0, [path(1, 0.06, 10)])
    assert delays.look(400.0, [path(1, 0.1, 20, least=0.1)]) == 0


def test_without_a_limit_nothing_is_bounded() -> None:
    manners = Manners(None, is_polite=False, paths=lambda: ())
    manners.look(1.0, 10**9, used=3, budget=64)
    assert manners.connections is None


def test_where_the_system_tells_nothing_a_polite_run_keeps_to_the_first_connections() -> None:
    manners = Manners(None, is_polite=True, paths=lambda: ())
    for step in range(100):
        manners.look(step * 0.1, step * 10**5, used=FIRST, budget=64)
    assert manners.connections == FIRST


def test_the_stricter_of_both_counts() -> None:
    manners = Manners(10**6, is_polite=True, paths=lambda: [path(1, 0.06, next(received))])
    received = iter(range(1, 10**6))
    for step in range(200):
        now = step * 0.1
        connections = manners.connections or 0
        manners.look(now, round(step * 0.1 * 0.5e6), used=connections, budget=64)
    assert 1 <= (manners.connections or 0) <= 2 * FIRST
