"""Sleep of the machine: afterwards its connections are gone, though nobody told it so."""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAST_SECONDS = 5.0


def _seconds_asleep() -> float:
    """Seconds that the machine has slept since some fixed time; 0 where the system does not tell.

    CLOCK_BOOTTIME counts sleep and CLOCK_MONOTONIC does not on Linux; on macOS it does, and CLOCK_UPTIME_RAW does not.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if hasattr(time, "CLOCK_UPTIME_RAW"):
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return 0.0


class Sleep:
    """Notices that the machine slept for more than a moment since it was asked last."""

    def __init__(self, asleep: Callable[[], float] = _seconds_asleep) -> None:
        self._asleep = asleep
        self._seen = asleep()

    def is_over(self) -> bool:
        """True once after each sleep."""
        before, self._seen = self._seen, self._asleep()
        return self._seen - before > _LEAST_SECONDS
