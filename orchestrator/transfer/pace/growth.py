"""Numbers of connections to a source: more while more of them bring more.

What a connection brings is bounded by the line, by the server, or, where packets are lost, by the sender's congestion
control: then the line stays empty until enough of them share it (Mathis et al., "The macroscopic behavior of the TCP
congestion avoidance algorithm": MSS / RTT * 1.22 / sqrt(loss) for each). From here these look the same. So it is tried:
once the rate rises no more by itself, the count is doubled, and kept when what all sources bring together grew by a
good part of what twice as many would bring if each were as fast as before. All times are counted in round trips: a
connection has its first byte after three of them, and slow start takes some more, so a window of fixed length would
judge a long line before it has answered. Where the kernel tells that packets are lost though none wait in a queue, the
line is not full, and nothing has to be waited for; where they wait, rates come in bursts and are looked at for longer.
A line that goes on losing, and is not full with all that a source may have elsewhere, is tried with more than that.

A narrow line is not flooded: a sender with a window of less than four packets cannot tell a loss by what comes after
it, and waits for its timer. So there are no more than have such windows, beyond those that every program begins with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from orchestrator.transfer.limits import START
from orchestrator.transfer.pace.paths import Signs
from orchestrator.transfer.pace.timeline import Timeline

_SETUP = 3  # round trips until a new connection brings bytes: TCP, TLS, the question
_SEEN = 3  # round trips of a window over which a rate is looked at
_FULL_SEEN = 3  # times the window, where the line seems to be full
_JUDGED = 12  # round trips after which a trial that has brought nothing ends
_LEAST_SEEN, _LONGEST_SEEN = 0.4, 5.0  # seconds of a window: near sources send in bursts
_LEAST_BYTES = 1 << 20  # of a window: progress is told in blocks, and few of them come at a rate of their own
_RISING = 1.2  # a rate that grew by this factor from window to window grows by itself
_WORTH_IT = 0.2  # of what the added connections would bring if each were as fast as those before
_NOISE = 0.02  # of the rate of all sources together: less cannot be told from chance
_IN_USE = 0.85  # of the allowed connections
_LEAST_WINDOW = 4 * 1448  # bytes that a connection should bring in each round trip
_FALLEN = 0.8  # of the rate that more connections did not better: the line is another one by now
_IDLE = 5.0  # seconds without a look: nothing was under way, so nothing could come
_WIDE = 0.7  # of what came when the line was full: less leaves room for twice as many connections
_FIRST_HOLD, _LONGEST_HOLD = 20.0, 160.0  # seconds without a trial, after trials that brought nothing


@dataclass(slots=True)
class Line:
    """The line that all sources of a run share. `spare` is how many connections are left for ranges that wait, `moved`
    when bytes came last, or were asked for again, `round_trip` and `signs` what the kernel tells (see `Paths`),
    `loses_since` when packets began to be lost of which none waited since, infinite while it was full last, and
    `full_rate` the most that came while it was full.

    One source at a time tries more connections, or nobody could tell whose bytes those are. `changed` is when a count
    changed last. `twice` are the bytes that may come once more, since tails were taken over.
    """

    total: Timeline = field(default_factory=Timeline)
    spare: int = 0
    round_trip: float | None = None
    signs: Signs = Signs.NONE
    loses_since: float = math.inf
    full_rate: float = 0.0
    moved: float = 0.0
    looked: float = 0.0
    changed: float = 0.0
    twice: int = 0
    trying: Growth | None = None

    def look(self, now: float, fresh: int, *, spare: int) -> None:
        """`fresh` bytes came since the last call."""
        self.total.add(now, fresh)
        self.spare = spare
        if fresh or now - self.looked > _IDLE:
            self.moved = now
        self.looked = now

    def hear(self, now: float, round_trip: float | None, signs: Signs) -> None:
        """Take in what the kernel tells now."""
        self.round_trip, self.signs = round_trip, signs
        if signs is Signs.FULL:
            self.loses_since = math.inf
            self.full_rate = max(self.full_rate, self.total.rate(now - _LEAST_SEEN, now))
        elif signs is Signs.LOSES:
            self.loses_since = min(now, self.loses_since)

    def release(self, growth: Growth, now: float) -> None:
        """The count of a source is settled."""
        if self.trying is growth:
            self.trying = None
        self.changed = now


@dataclass(frozen=True, slots=True)
class _Trial:
    before: int
    own: float
    total: float
    began: float
    is_sure: bool


@dataclass(slots=True)
class Growth:
    """The count of one source: `allowed` connections now, `most` at most, or `losing` where the line keeps losing
    packets, and up to `usual` ones without a trial. `settled` is the number that showed to be of use: None until more
    were tried, or fewer were asked for.

    One that is bound has company on its line, and takes from that with more connections of its own: what it gains says
    nothing, so it gets more only where packets are lost though the line is not full.
    """

    most: int
    losing: int = 0
    usual: int = 0
    allowed: int = 0
    settled: int | None = None
    is_bound: bool = False
    _since: float = 0.0
    _used: float = 0.0
    _looked: float = 0.0
    _trial: _Trial | None = None
    _hold_until: float = 0.0
    _hold_rate: float = 0.0
    _hold: float = _FIRST_HOLD

    def start(self, count: int) -> None:
        """Begin with so many, as soon as the line is known to be wide enough."""
        self.usual = max(1, min(count, self.most))
        self.allowed = min(START, self.usual)

    def bound(self, count: int, most: int) -> None:
        """From now on it has so many, once it has begun, and up to `most` where the line loses."""
        self.usual, self.most, self.losing, self.is_bound = count, most, most, True
        if self.allowed:
            self.allowed = count

    def release(self, most: int, losing: int) -> None:
        """From now on it may have as many as help, up to these."""
        self.most, self.losing, self.is_bound = most, losing, False

    def look(self, now: float, own: Timeline, line: Line, *, connections: int, round_trip: float) -> None:
        """Decide again, with `connections` open now and what came of this source (`own`) and of all (`line`)."""
        self._use(now, connections)
        if not self.allowed:
            return
        window = max(_SEEN * round_trip, _LEAST_SEEN) * (_FULL_SEEN if line.signs is Signs.FULL else 1)
        if rate := own.rate(now - window, now):
            window = max(window, min(_LEAST_BYTES / rate, _LONGEST_SEEN))
        self._since = self._since or now
        if self._trial is not None:
            self._judge(self._trial, now, own, line, window, round_trip)
        elif self.allowed < self.usual and (more := min(self._fitting(rate, round_trip), line.spare)) > 0:
            self.allowed = min(self.usual, self.allowed + more)
            line.changed = now
        else:
            self._try_more(now, own, line, window, round_trip)

    def fewer(self, now: float, line: Line) -> None:
        """The source wants fewer requests."""
        self.allowed = self.usual = max(1, self.allowed // 2)
        self._rest(now, 0.0)
        self._settle(now, line)

    def _use(self, now: float, connections: int) -> None:
        fade = math.exp(min(0.0, self._looked - now) / _LEAST_SEEN)
        self._used = fade * self._used + (1 - fade) * connections
        self._looked = now

    def _try_more(self, now: float, own: Timeline, line: Line, window: float, round_trip: float) -> None:
        """Begin a trial when the rate does not rise by itself, and nobody's count has just been changed."""
        goal = self._goal(now, line, window, round_trip)
        if goal <= self.allowed or self._used < _IN_USE * self.allowed or line.spare <= 0 or line.trying:
            return
        loses, rate = line.signs is Signs.LOSES, own.rate(now - window, now)
        settled = _SETUP * round_trip + (1 if loses else 2) * window
        is_rising = not loses and rate > _RISING * own.rate(now - 2 * window, now - window)
        if not rate or is_rising or now - max(line.changed, self._since) < settled:
            return
        if now < self._hold_until and rate >= _FALLEN * self._hold_rate:
            return
        if line.signs is Signs.FULL and self._fitting(rate, round_trip) <= 0:
            return
        begin = now - 2 * window
        is_sure = loses and self.allowed < self.most
        self._trial = _Trial(self.allowed, own.rate(begin, now), line.total.rate(begin, now), now, is_sure)
        self.allowed = min(goal, self.allowed + line.spare)
        line.trying = self

    def _goal(self, now: float, line: Line, window: float, round_trip: float) -> int:
        """The number that is worth a trial."""
        if self.allowed >= self.most:
            is_losing = line.signs is Signs.LOSES and now - line.loses_since > _JUDGED * round_trip
            is_wide = line.total.rate(now - window, now) < _WIDE * line.full_rate or not line.full_rate
            return min(max(self.most, self.losing), 2 * self.allowed) if is_losing and is_wide else self.allowed
        # A line that loses is not full, and more connections bring more: there is nothing to find out step by step.
        if line.signs is Signs.LOSES:
            return self.most
        return self.allowed if self.is_bound else min(self.most, 2 * self.allowed)

    def _fitting(self, rate: float, round_trip: float) -> int:
        """The number of further connections that would have a window of some packets each."""
        return int(rate * round_trip / _LEAST_WINDOW) - self.allowed

    def _judge(  # noqa: PLR0917 - one trial, and what is seen of it
        self, trial: _Trial, now: float, own: Timeline, line: Line, window: float, round_trip: float
    ) -> None:
        passed = now - trial.began
        longest = _SETUP * round_trip + max((_JUDGED - _SETUP) * round_trip, 2 * window)
        if passed < (longest if line.signs is Signs.FULL else _SETUP * round_trip + window / 2):
            return
        # What others bring meanwhile is not its gain, and what it takes from them is none.
        gain = min(line.total.rate(now - window, now) - trial.total, own.rate(now - window, now) - trial.own)
        wanted = max(_WORTH_IT * trial.own * (self.allowed / trial.before - 1), _NOISE * trial.total)
        if gain >= (0 if trial.is_sure or (line.signs is Signs.LOSES and self.allowed <= self.most) else wanted):
            self._hold = _FIRST_HOLD
        elif passed < longest:
            return
        else:
            self.allowed = min(trial.before, max(self.most, self.losing))
            self._rest(now, trial.own)
        self._settle(now, line)

    def _settle(self, now: float, line: Line) -> None:
        self._trial, self.settled = None, self.allowed
        line.release(self, now)

    def _rest(self, now: float, rate: float) -> None:
        self._hold_until, self._hold_rate = now + self._hold, rate
        self._hold = min(_LONGEST_HOLD, 2 * self._hold)
