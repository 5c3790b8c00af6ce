"""The clock that tells how long the machine slept."""

from __future__ import annotations

import sys
import time


def seconds_asleep() -> float:
    """Seconds that the machine has slept since some fixed time; 0 where the system does not tell.

    CLOCK_BOOTTIME counts sleep and CLOCK_MONOTONIC does not on Linux; on macOS it does, and CLOCK_UPTIME_RAW does not.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return 0.0
