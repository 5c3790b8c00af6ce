"""Traces that can be shown to others: without names, sizes that tell a model, and dates."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR

_WEEK = 7 * 24 * HOUR


def anonymised(demands: Sequence[Demand]) -> tuple[Demand, ...]:
    """The same demand, with names by a keyed hash whose key nobody keeps.

    Times are moved by whole weeks, to the first week of 1970: hours of the week stay. Bytes are rounded to two digits,
    since the exact size of a model names it.
    """
    key = secrets.token_bytes(32)
    moved = min((demand.at for demand in demands), default=0.0) // _WEEK * _WEEK

    def name(kind: str, text: str) -> str:
        return f"{kind}-{hmac.digest(key, f'{kind} {text}'.encode(errors='surrogatepass'), hashlib.sha256).hex()[:16]}"

    return tuple(
        replace(
            demand,
            at=demand.at - moved,
            model=name("model", demand.model),
            size=_rounded(demand.size),
            came=_rounded(demand.came),
            sources={name("source", source): _rounded(sent) for source, sent in demand.sources.items()},
        )
        for demand in demands
    )


def _rounded(count: int) -> int:
    return int(float(f"{count:.1e}"))
