"""The number of connections on lines of all kinds: a model of TCP, without a kernel and without a clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest

from orchestrator.transfer.pace.growth import Growth, Line
from orchestrator.transfer.pace.paths import Signs
from orchestrator.transfer.pace.timeline import Timeline

POLL = 0.1
SEGMENT = 1448


@dataclass
class Model:
    """A line: bytes per second in all, and over one connection; a new one needs three round trips and slow start."""

    rate: float
    each: float
    round_trip: float
    noise: random.Random = field(default_factory=lambda: random.Random(1))
    opened: list[float] = field(default_factory=list)

    def brings(self, now: float, count: int) -> float:
        """Bytes per second with so many connections, of which the youngest close first."""
        del self.opened[count:]
        self.opened += [now] * (count - len(self.opened))
        sums = sum(min(self.each, self._slow_start(now - begun)) for begun in self.opened)
        return min(self.rate, sums) * self.noise.uniform(0.95, 1.05)

    def _slow_start(self, age: float) -> float:
        trips = age / self.round_trip - 3
        return 10 * SEGMENT / self.round_trip * 2.0 ** min(trips, 60) if trips >= 0 else 0.0


@dataclass
class Drive:
    """A growth on a model, from when the first connections are opened."""

    model: Model
    most: int = 64
    losing: int = 0
    begin: int = 16
    now: float = 100.0
    line: Line = field(default_factory=Line)
    own: Timeline = field(default_factory=Timeline)

    def __post_init__(self) -> None:
        self.growth = Growth(self.most, self.losing)
        self.growth.start(self.begin)

    def run(self, seconds: float, *, spare: int | None = None) -> None:
        for _ in range(round(seconds / POLL)):
            self.now += POLL
            count = self.growth.allowed
            fresh = int(self.model.brings(self.now, count) * POLL)
            self.own.add(self.now, fresh)
            self.line.look(self.now, fresh, spare=max(self.most, self.losing) - count if spare is None else spare)
            self.growth.look(self.now, self.own, self.line, connections=count, round_trip=self.model.round_trip)

    @property
    def share(self) -> float:
        """What comes, of the most that could."""
        model = self.model
        possible = min(model.rate, model.each * self.most)
        return self.own.rate(self.now - 2, self.now) / possible


def random_line(seed: int) -> Model:
    rng = random.Random(seed)
    rate = math.exp(rng.uniform(math.log(5e6 / 8), math.log(500e6 / 8)))
    round_trip = rng.uniform(0.01, 0.3)
    loss = rng.uniform(0, 0.03)
    each = min(rate, SEGMENT / round_trip * 1.22 / math.sqrt(loss / 3)) if loss else rate
    return Model(rate, each, round_trip, rng)


@pytest.mark.parametrize("seed", range(40))
def test_a_line_drawn_at_random_is_filled(seed: int) -> None:
    """Within a minute at the latest, whatever its rate, its length and its loss."""
    drive = Drive(random_line(seed))
    drive.run(60)
    assert drive.share > 0.75, (seed, drive.model, drive.growth.allowed)


@pytest.mark.parametrize("round_trip", [0.02, 0.1, 0.3])
def test_a_full_line_keeps_what_it_began_with(round_trip: float) -> None:
    """As with a sender that does not slow down for losses: four connections would do."""
    drive = Drive(Model(6e6, 2e6, round_trip))
    drive.run(60)
    assert drive.growth.allowed == 16


@pytest.mark.parametrize("round_trip", [0.05, 0.22, 0.3])
def test_no_trial_is_made_while_the_first_slow_start_fills_the_line(round_trip: float) -> None:
    """What comes then grows by itself, and would be taken for the gain of more connections."""
    drive = Drive(Model(60e6, 60e6, round_trip))
    trips = math.log2(60e6 / 16 / (10 * SEGMENT / round_trip)) + 3
    drive.run(trips * round_trip)
    assert drive.growth.allowed == 16
    drive.run(30)
    assert drive.growth.allowed == 16


def test_what_a_run_may_begin_with_is_opened_once_the_line_is_known_to_be_wide() -> None:
    wide, narrow = Drive(Model(6e6, 0.1e6, 0.22), begin=64), Drive(Model(0.8e6, 0.1e6, 0.06), begin=64)
    for drive in (wide, narrow):
        assert drive.growth.allowed == 16
        drive.run(2)
    assert wide.growth.allowed == 64
    assert narrow.growth.allowed == 16


def test_a_narrow_line_that_is_full_is_not_flooded() -> None:
    drive = Drive(Model(0.8e6, 0.1e6, 0.06))
    drive.line.hear(drive.now, None, Signs.FULL)
    drive.run(30)
    assert drive.growth.allowed == 16


def test_a_rate_that_falls_ends_a_hold() -> None:
    drive = Drive(Model(6e6, 2e6, 0.1))
    drive.run(10)
    assert drive.growth.allowed == 16
    drive.model.each = 0.1e6  # the losses come
    drive.run(8)
    assert drive.growth.allowed > 16


def test_where_packets_are_lost_and_none_wait_more_are_opened_at_once() -> None:
    slow, fast = Drive(Model(24e6, 0.24e6, 0.18)), Drive(Model(24e6, 0.24e6, 0.18))
    fast.line.hear(fast.now, None, Signs.LOSES)
    for drive in (slow, fast):
        drive.run(2)
    assert fast.growth.allowed == 64
    assert slow.growth.allowed < 64


def test_a_line_that_goes_on_losing_gets_more_than_a_source_may_have_elsewhere() -> None:
    """188 Mbit/s, 158 ms and 1.2 % of losses: 64 connections would bring a third of the line."""
    drive = Drive(Model(23e6, 0.12e6, 0.158), losing=256)
    drive.line.hear(drive.now, None, Signs.LOSES)
    drive.run(60)
    assert drive.growth.allowed == 256
    assert drive.share > 0.9


def test_more_than_elsewhere_are_kept_only_where_they_bring_a_good_part_of_what_they_could() -> None:
    drive = Drive(Model(7e6, 0.1e6, 0.1), losing=256)
    drive.line.hear(drive.now, None, Signs.LOSES)
    trials = []
    for _ in range(300):
        drive.run(POLL)
        trials.append(drive.growth.allowed)
    assert max(trials) == 128
    assert trials[-1] == 64


@pytest.mark.parametrize(("rate", "count"), [(7e6, 64), (12e6, 128)])
def test_a_line_that_was_full_with_no_more_gets_no_more(rate: float, count: int) -> None:
    """Losses without a queue are told of it now and then, when its connections have just drawn back."""
    drive = Drive(Model(rate, 0.4e6, 0.1), losing=256)
    drive.run(10)
    drive.line.hear(drive.now, None, Signs.FULL)
    drive.model.each = 0.1e6
    drive.line.hear(drive.now, None, Signs.LOSES)
    drive.run(60)
    assert drive.growth.allowed == count


def test_one_that_is_bound_gets_more_only_where_the_line_loses() -> None:
    """What it would gain on a full line, it would take from those that share it."""
    drive = Drive(Model(50e6, 1e6, 0.1))
    drive.growth.bound(4, 16)
    drive.run(60)
    assert drive.growth.allowed == 4
    drive.line.hear(drive.now, None, Signs.LOSES)
    drive.run(10)
    assert drive.growth.allowed == 16


def test_nothing_is_tried_where_no_range_waits_for_a_connection() -> None:
    drive = Drive(Model(24e6, 0.24e6, 0.1))
    drive.run(20, spare=0)
    assert drive.growth.allowed == 16


def test_a_dead_line_is_not_tried_with_more() -> None:
    drive = Drive(Model(24e6, 0.24e6, 0.1))
    drive.model.rate = 0
    drive.run(60)
    assert drive.growth.allowed == 16


def test_one_source_at_a_time_tries_more_and_all_get_their_turn() -> None:
    """They share a line that is full: no source may take from the other what the line does not have."""
    line, now = Line(), 100.0
    models = [Model(6e6, 0.2e6, 0.1), Model(6e6, 0.2e6, 0.1)]
    growths, own = [Growth(32), Growth(32)], [Timeline(), Timeline()]
    for growth in growths:
        growth.start(8)
    trials: set[int] = set()
    for _ in range(300):
        now += POLL
        fresh = [int(model.brings(now, growth.allowed) * POLL) for model, growth in zip(models, growths, strict=True)]
        line.look(now, sum(fresh), spare=64 - sum(growth.allowed for growth in growths))
        for number, growth in enumerate(growths):
            own[number].add(now, fresh[number])
            growth.look(now, own[number], line, connections=growth.allowed, round_trip=0.1)
        trying = [number for number, growth in enumerate(growths) if line.trying is growth]
        assert len(trying) <= 1
        trials.update(trying)
    assert trials == {0, 1}
    assert [growth.allowed for growth in growths] == [32, 32]


def test_what_is_kept_for_the_next_run_is_what_showed_to_help() -> None:
    drive = Drive(Model(6e6, 2e6, 0.1))
    while drive.line.trying is None:
        drive.run(POLL)
    assert drive.growth.allowed == 32
    assert drive.growth.settled is None
    drive.run(30)
    assert drive.growth.settled == 16


def test_a_line_of_which_nothing_was_asked_was_not_silent() -> None:
    line = Line()
    line.look(100.0, 1, spare=0)
    line.look(101.0, 0, spare=0)
    assert line.moved == 100.0
    line.look(160.0, 0, spare=0)
    line.look(160.1, 0, spare=0)
    assert line.moved == 160.0
