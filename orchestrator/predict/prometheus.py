"""Demand from a Prometheus that scrapes `serve`: its query API, a week at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from orchestrator.errors import ProtocolError
from orchestrator.net.session import Net
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.trace import MOST_NAME

QUERY = "round(sum by (model) (increase(glm_aria_wanted_total[1h])))"
WEEKS = 12
_WEEK = 7 * 24 * HOUR
_MOST_IN_HOUR, _MOST = 10_000, 1_000_000


def demand_at(url: str, net: Net, now: float) -> tuple[Demand, ...]:
    """The wishes of the last weeks that it knows of, the oldest first; their bytes are not known, and 0.

    An increase is told at its end, so each wish counts in the middle of the hour before. Raises as `Net.get_json` does,
    and ProtocolError for an answer that is none of Prometheus.
    """
    end = now // HOUR * HOUR
    found: list[Demand] = []
    for week in range(WEEKS, 0, -1):
        first, last = end - week * _WEEK, end - (week - 1) * _WEEK
        query = {"query": QUERY, "start": first + HOUR, "end": last, "step": int(HOUR)}
        answer = net.get_json(f"{url.rstrip('/')}/api/v1/query_range?{urlencode(query)}").value
        try:
            found += islice(_wishes(answer, first, last), _MOST - len(found))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ProtocolError(
                f"{url} does not answer as Prometheus does", hint="name its address, such as http://127.0.0.1:9090"
            ) from error
    return tuple(sorted(found, key=lambda demand: demand.at))


def _wishes(answer: Any, first: float, last: float) -> Iterator[Demand]:
    """The wishes of a week. What an answer has of other times is passed over: it was not asked for."""
    if answer["status"] != "success":
        raise ValueError(answer["status"])
    for series in answer["data"]["result"]:
        model = series["metric"].get("model", "")
        for at, text in series["values"]:
            count, middle = float(text), float(at) - HOUR / 2
            if not (first <= middle < last and math.isfinite(count)):
                continue
            # Models for which a server has no label left have none.
            if isinstance(model, str) and 0 < len(model) <= MOST_NAME:
                yield from [Demand(middle, model, 0, 0, 0.0)] * round(max(0.0, min(count, _MOST_IN_HOUR)))
