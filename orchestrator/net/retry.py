"""The wait that a server demands before the next attempt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from orchestrator.net.addresses import split

# What is left of a quota, and the seconds until it is renewed, by their names in the forms of `_quota_wait`.
_LEFT = re.compile(r"(?:^|[;,\s])(?:r|remaining)\s*=\s*(\d{1,9})\b", re.ASCII)
_RESET = re.compile(r"(?:^|[;,\s])(?:t|reset)\s*=\s*(\d{1,9})\b", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


class BusySites:
    """The sites that asked us to slow down, and until when. Thread-safe. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def note(self, url: str, seconds: float) -> None:
        """The site of this address is to be left alone for so long."""
        site = split(url).netloc
        self._until[site] = max(self._until.get(site, 0.0), self._clock() + seconds)

    def left(self, url: str) -> float:
        """The seconds for which the site of this address is still to be left alone."""
        return max(0.0, self._until.get(split(url).netloc, 0.0) - self._clock())


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks us to wait, or None. `headers` ignore case.

    `now` is unix time, for a Retry-After that is a date; the server's own Date stands in for it where there is one, so
    a wrong clock here does no harm.
    """
    quota = _quota_wait(headers)
    if quota is not None:
        return quota
    after = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(after):
        return float(after)
    until = _moment(after)
    if until is None:
        return None
    sent = _moment(headers.get("Date", ""))
    return max(0.0, until - (now if sent is None else sent))


def _quota_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until a quota that is used up is renewed; with several, until the last of them is.

    `RateLimit: "api";r=0;t=55` is the Hub's form (draft-ietf-httpapi-ratelimit-headers, from its eighth version on),
    where several are separated by commas; before it was `RateLimit: limit=500, remaining=0, reset=55`, or a header for
    each of them. With something left the quota is not the reason, and nothing is asked. A second is added, since the
    server rounds.
    """
    field = headers.get("RateLimit", "")
    items = field.split(",") if '"' in field else [field]
    left, reset = headers.get("RateLimit-Remaining", "").strip(), headers.get("RateLimit-Reset", "").strip()
    items.append(f"remaining={left},reset={reset}")
    spent = [
        int(after[1]) + 1.0
        for item in items
        if (rest := _LEFT.search(item)) and (after := _RESET.search(item)) and int(rest[1]) == 0
    ]
    return max(spent, default=None)


def _moment(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
