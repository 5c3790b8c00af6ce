"""How long to wait before the next attempt: what the server asked for, else exponential backoff with full jitter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
_QUOTA = re.compile(r";\s*r=(\d{1,9})\s*;\s*t=(\d{1,9})")


def backoff(attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait after the failure of `attempt` (1, 2, …), drawn from nothing to twice the last limit.

    Full jitter spreads many clients that failed at once (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """
    return uniform(0.0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)))


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a 429 or 503 asks us to wait, or None. `now` is unix time, for a Retry-After that is a date.

    `RateLimit: "api";r=0;t=55` is the Hub's form: the quota is used up for t more seconds. With r above 0 the quota is
    not the reason, and nothing is asked.
    """
    if quota := _QUOTA.search(headers.get("RateLimit", "")):
        left, seconds = int(quota[1]), int(quota[2])
        if left == 0:
            return seconds + 1.0
    after = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", after):
        return float(after)
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - now)
    except (ValueError, OverflowError):
        return None
