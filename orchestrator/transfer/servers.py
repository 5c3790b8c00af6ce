"""The sources of a run as the feeder sees them: how fast each is, how many connections help, whether it answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from orchestrator.core.exponential import backoff
from orchestrator.errors import GlmAriaError

_WINDOW_SECONDS = 0.5
_TRIAL_WINDOWS = 2
_HOLD_SECONDS = 20.0
_WORTH_IT = 0.3  # of what the added connections would bring if each were as fast as those before
_NEAR_SECONDS = 0.01
_NEAR_CONNECTIONS = 2
_STRIKES = 5
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 8.0
_UNKNOWN_LATENCY = 0.1
_HOPELESS = 0.02  # of the rate of all sources together


@dataclass(slots=True)
class Server:
    """A source during a run. Times are monotonic seconds, rates bytes per second.

    `allowed` is how many connections it may have now for large files, `most` the bound. A near one begins with two,
    which bring a file nearly in order, so that hashing keeps up (4 GiB on loopback: a third of the time is saved); a
    far one begins with all that one file may have. Then the number is raised while that raises the rate, and lowered
    when the server complains. `is_rangeless`: aria2 cannot take its answers.
    """

    name: str
    start: int
    most: int
    latency: float | None = None
    allowed: int = 0
    rate: float = 0.0
    each: float | None = None
    bytes: int = 0
    best_rate: float = 0.0
    strikes: int = 0
    not_before: float = 0.0
    down: GlmAriaError | None = None
    is_rangeless: bool = False
    _window_began: float = 0.0
    _window_bytes: int = 0
    _window_connections: list[int] = field(default_factory=list)
    _hold_until: float = 0.0
    _steady: int = 0
    _trial: tuple[int, float, int] | None = None  # connections and rate before it, and windows until it is judged

    @property
    def setup(self) -> float:
        """Seconds until the first byte of a new connection: a handshake and a question."""
        return 2 * (_UNKNOWN_LATENCY if self.latency is None else self.latency) + 0.05

    def met(self, latency: float | None) -> None:
        """It answered a small request after `latency` seconds."""
        if latency is not None:
            self.latency = latency if self.latency is None else min(latency, self.latency)
        if not self.allowed:
            is_near = self.latency is not None and self.latency < _NEAR_SECONDS
            self.allowed = max(1, min(self.start, _NEAR_CONNECTIONS if is_near else self.start, self.most))

    def observe(self, now: float, fresh: int, connections: int) -> None:
        """`fresh` bytes arrived since the last call, over `connections` that are open now."""
        if not self._window_began:
            self._window_began = now
        self.bytes += fresh
        self._window_bytes += fresh
        self._window_connections.append(connections)
        seconds = now - self._window_began
        if seconds < _WINDOW_SECONDS:
            return
        mean = sum(self._window_connections) / len(self._window_connections)
        rate = self._window_bytes / seconds
        self.rate = rate if not self.rate else 0.5 * rate + 0.5 * self.rate
        self.best_rate = max(self.best_rate, self.rate)
        if mean >= 0.5 and rate:
            each = rate / mean
            self.each = each if self.each is None else 0.5 * each + 0.5 * self.each
        self._adapt(now, is_busy=min(self._window_connections) >= self.allowed)
        self._window_began, self._window_bytes = now, 0
        self._window_connections.clear()

    def succeed(self) -> None:
        """It sent what it was asked for."""
        self.strikes = 0

    def fail(self, error: GlmAriaError, now: float, *, has_others: bool) -> None:
        """A connection to it failed. Several that fail together count once; after five in a row it is given up."""
        if now < self.not_before or self.down:
            return
        self.strikes += 1
        self.not_before = now + backoff(self.strikes, _FIRST_WAIT, _LONGEST_WAIT, random.random())  # noqa: S311 - no secret
        if self.strikes >= (2 if has_others else _STRIKES):
            self.down = error

    def slow_down(self, now: float) -> None:
        """It wants fewer requests."""
        self.allowed = max(1, self.allowed // 2)
        self._trial = None
        self._hold_until = now + _HOLD_SECONDS

    def is_hopeless(self, all_rates: float) -> bool:
        """True when the run is better off without it: it hardly adds anything, and would hold up the file's order."""
        return bool(self.rate) and self._steady >= _TRIAL_WINDOWS and self.rate < _HOPELESS * all_rates

    def _adapt(self, now: float, *, is_busy: bool) -> None:
        if not self.allowed:
            return  # it has answered nobody yet
        self._steady += 1
        if self._trial is not None:
            before, rate, left = self._trial
            if left > 1:
                self._trial = (before, rate, left - 1)
                return
            self._trial = None
            self._steady = 0
            if self.rate < rate * (1 + _WORTH_IT * (self.allowed / before - 1)):
                self.allowed, self._hold_until = before, now + _HOLD_SECONDS
        elif is_busy and self._steady > _TRIAL_WINDOWS and now >= self._hold_until and self.allowed < self.most:
            self._trial = (self.allowed, self.rate, _TRIAL_WINDOWS)
            self.allowed = min(self.most, 2 * self.allowed)
