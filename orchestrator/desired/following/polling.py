"""Times at which a follower looks at its source again. Plain values; the clock and chance are given.

500 followers of one repository that look every five minutes ask it 100 times a minute, spread evenly: the first look of
each comes at a random moment of the interval, and every further one within a quarter of it, so that a common beginning
(a power cut, a rollout) is forgotten after a few turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core.exponential import backoff

INTERVAL = 300.0
"""Seconds between two looks, where nobody says."""
_SPREAD = 0.25
_FIRST = 5.0
"""Seconds that the wait after a first failure of one's own work is at most; it doubles with each further one."""
LEAST = 1.0


@dataclass(frozen=True, slots=True)
class Poll:
    """The next look, in seconds of a clock that never goes back, and the failures in a row."""

    due: float
    failures: int = 0


def first(now: float, interval: float, roll: float, *, is_urgent: bool) -> Poll:
    """The first look: at once where nothing is known yet, else at some moment of the interval. `roll` is 0 to 1."""
    return Poll(now if is_urgent else now + interval * roll)


def answered(poll: Poll, now: float, interval: float, roll: float) -> Poll:
    """After a look that the source answered."""
    return replace(poll, due=now + interval * (1 - _SPREAD + 2 * _SPREAD * roll), failures=0)


def failed(poll: Poll, now: float, interval: float, roll: float) -> Poll:
    """After one that it did not: what comes back is seen within the interval, and is not asked more often than one that
    answers by much, also by 500."""
    return Poll(now + max(min(LEAST, interval), interval * (_SPREAD + (1 - _SPREAD) * roll)), poll.failures + 1)


def again(poll: Poll, now: float, interval: float, roll: float) -> Poll:
    """After work of a node's own that failed: soon, then less and less often, and within the interval in any case."""
    failures = poll.failures + 1
    wait = backoff(failures, min(_FIRST, interval), interval, roll)
    return Poll(now + min(max(LEAST, wait), max(interval, LEAST)), failures)
