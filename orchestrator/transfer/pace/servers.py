"""The sources of a run as the feeder sees them: how fast each is, how many connections help, whether it answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from orchestrator.aria2.control import BLOCK
from orchestrator.core.exponential import backoff
from orchestrator.errors import GlmAriaError
from orchestrator.transfer.interface import Terms
from orchestrator.transfer.limits import START
from orchestrator.transfer.pace.growth import Growth, Line
from orchestrator.transfer.pace.timeline import Timeline

_WINDOW_SECONDS = 0.5
_NEAR_SECONDS = 0.01
_NEAR_CONNECTIONS = 2
_STRIKES = 5
_REFUSALS = 3
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 8.0
_UNKNOWN_LATENCY = 0.1
_HOPELESS = 0.02  # of the rate of all sources together
_KNOWN_WINDOWS = 2
_REST_SECONDS = 20.0
_LEARNED_BYTES = 32 << 20
_RECENT = 0.1  # weight of the last one in an average


@dataclass(slots=True)
class Server:
    """A source during a run. Times are monotonic seconds, rates bytes per second.

    A near one begins with two connections, which bring a file nearly in order, so that hashing keeps up (4 GiB on
    loopback: a third of the time is saved); a far one begins with `start`. `growth` says how many it may have now for
    large files, up to `most`, or `losing` where the line keeps losing packets, or as many as its `terms` say.
    `is_bounded`: the run has a limit, or is polite. `is_rangeless`: aria2 cannot take its answers. `refusals` are
    requests in a row that it refused, where its terms foresee that. While nothing comes from anywhere, `probes` counts
    how often a connection was opened again to see whether that is over, the last time when it was `probed`.
    """

    name: str
    start: int
    most: int
    line: Line = field(default_factory=Line)
    losing: int = 0
    latency: float | None = None
    rate: float = 0.0
    each: float | None = None
    best_rate: float = 0.0
    strikes: int = 0
    starved: int = 0
    probed: float = 0.0
    probes: int = 0
    not_before: float = 0.0
    resting_until: float = 0.0
    down: GlmAriaError | None = None
    is_bounded: bool = False
    is_rangeless: bool = False
    terms: Terms = field(default_factory=Terms)
    refusals: int = 0
    came: Timeline = field(default_factory=Timeline)
    growth: Growth = field(init=False)
    _wait: float | None = None
    _window_began: float = 0.0
    _window_bytes: int = 0
    _window_connections: list[int] = field(default_factory=list)
    _windows: int = 0

    def __post_init__(self) -> None:
        self.growth = Growth(self.most, self.losing)

    @property
    def allowed(self) -> int:
        """The connections that it may have now; 0 until it has answered anybody."""
        return self.growth.allowed

    @property
    def settled(self) -> int | None:
        """The connections that showed to be of use; None where that was not found out, or more were forbidden."""
        is_bounded = self.is_bounded or self.terms.connections is not None
        tried_out = self.most >= START and self.bytes >= _LEARNED_BYTES and not is_bounded
        return self.growth.settled if tried_out and self.allowed else None

    @property
    def bytes(self) -> int:
        """The bytes that it sent."""
        return self.came.bytes

    @property
    def round_trip(self) -> float:
        """Seconds from a question to the beginning of its answer, as far as they are known."""
        known = [seconds for seconds in (self.latency, self.line.round_trip) if seconds is not None]
        return min(known, default=_UNKNOWN_LATENCY)

    @property
    def setup(self) -> float:
        """Seconds until the first byte of a new connection: a handshake and a question."""
        return self.round_trip + self.turn

    @property
    def turn(self) -> float:
        """Seconds from one range to the next of a connection that is kept: a question, and what the server thinks of
        it, or the queue of the line adds."""
        return max(self.round_trip + 0.05, self._wait or 0.0)

    def met(self, latency: float | None) -> None:
        """It answered a small request after `latency` seconds."""
        if latency is not None:
            self.latency = latency if self.latency is None else min(latency, self.latency)
        if not self.allowed:
            is_near = self.latency is not None and self.latency < _NEAR_SECONDS
            usual = min(self.start, _NEAR_CONNECTIONS) if is_near else self.start
            self.growth.start(usual if self.terms.connections is None else self.growth.usual)

    def bind(self, terms: Terms) -> None:
        """Ask it on these terms from now on."""
        if terms.connections is None:
            self.growth.release(self.most, self.losing)
        elif (terms.connections, terms.losing) != (self.terms.connections, self.terms.losing):
            count = min(self.most, terms.connections)
            self.growth.bound(count, min(self.most, terms.losing or count))
        self.terms = terms

    def began(self, seconds: float) -> None:
        """The first block of a range came after so long."""
        self.met(seconds)
        wait = max(0.0, seconds - BLOCK / self.each) if self.each else seconds
        self._wait = wait if self._wait is None else self._wait + _RECENT * (wait - self._wait)

    def observe(self, now: float, fresh: int, connections: int) -> None:
        """`fresh` bytes arrived since the last call, over `connections` that are open now."""
        self.came.add(now, fresh)
        if fresh:
            self.probes = 0
        self._average(now, fresh, connections)
        self.growth.look(now, self.came, self.line, connections=connections, round_trip=self.round_trip)

    def succeed(self) -> None:
        """It sent what it was asked for."""
        self.strikes = self.starved = self.refusals = 0

    def fail(self, error: GlmAriaError, now: float, *, has_others: bool, has_gain: bool = False) -> None:
        """A connection to it failed. Several that fail together count once; after five in a row it is given up, unless
        they bring a little each (`has_gain`) and nobody else would bring more: it is asked ever more rarely then."""
        if now < self.not_before or self.down:
            return
        self.strikes += 1
        self.not_before = now + backoff(self.strikes, _FIRST_WAIT, _LONGEST_WAIT, random.random())  # noqa: S311 - no secret
        if self.strikes >= (2 if has_others else _STRIKES) and (has_others or not has_gain):
            self.down = error

    def leave_alone(self, now: float) -> None:
        """It is busy, as its terms foresee."""
        self.not_before = max(self.not_before, now + (self.terms.rest or 0.0))

    def may_be_busy(self, now: float) -> bool:
        """True when it refused a request, and its terms foresee that: it is left alone. Not many times in a row, or
        nobody would ask for the reason; those that are refused together count once."""
        is_next = now >= self.not_before
        if self.terms.rest is None or (is_next and self.refusals >= _REFUSALS):
            return False
        self.refusals += is_next
        self.leave_alone(now)
        return True

    def forgive(self) -> None:
        """Try it again, if it was given up: what answers there now may be another server."""
        if self.down is not None:
            self.down, self.strikes, self.not_before = None, 0, 0.0
            self.is_rangeless = False

    def starve(self, now: float, *, has_gain: bool) -> None:
        """A connection was silent while others brought bytes. When many never had any, there are too many."""
        self.starved += not has_gain
        if self.starved > self.allowed / 2:
            self.starved = 0
            self.slow_down(now)

    def probe(self, now: float) -> None:
        """A connection is opened again, to see whether anything comes again."""
        self.probed = now
        self.probes += 1

    def slow_down(self, now: float) -> None:
        """It wants fewer requests."""
        self.growth.fewer(now, self.line)

    def is_hopeless(self, all_rates: float) -> bool:
        """True when the run is better off without it: it hardly adds anything, and would hold up the file's order."""
        # Its rate falls while it has nothing to send, too.
        able = max(self.rate, (self.each or 0.0) * self.allowed)
        return bool(able) and self._windows > _KNOWN_WINDOWS and able < _HOPELESS * all_rates

    def rest(self, now: float) -> None:
        """Give it nothing for a while, and measure it again then."""
        self.resting_until, self._windows = now + _REST_SECONDS, 0

    def _average(self, now: float, fresh: int, connections: int) -> None:
        self._window_began = self._window_began or now
        self._window_bytes += fresh
        self._window_connections.append(connections)
        seconds = now - self._window_began
        if seconds < _WINDOW_SECONDS:
            return
        mean = sum(self._window_connections) / len(self._window_connections)
        rate = self._window_bytes / seconds
        self.rate = rate if not self.rate else 0.5 * rate + 0.5 * self.rate
        self.best_rate = max(self.best_rate, self.rate)
        # Less than a block are small files, whose time is mostly latency.
        if mean >= 0.5 and self._window_bytes >= BLOCK:
            each = rate / mean
            self.each = each if self.each is None else 0.5 * each + 0.5 * self.each
        self._windows += mean >= 0.5
        self._window_began, self._window_bytes = now, 0
        self._window_connections.clear()
