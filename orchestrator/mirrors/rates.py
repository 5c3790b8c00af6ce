"""Rates of a source by number of connections, and how many of them are enough. No I/O.

Rates are bytes per second.
"""

from __future__ import annotations

Rates = tuple[tuple[int, float], ...]
"""Rates by number of connections, the fewest first."""

WORTH = 1.15
"""How much more further connections must bring before they are worth their load on the server."""
_MOST = 256


def rungs(budget: int) -> tuple[int, ...]:
    """Numbers of connections to measure beyond the first, where a pull may open `budget`."""
    most = min(budget, _MOST)
    powers = [4**power for power in range(1, 5) if 4**power < most]
    return (*powers, most) if most > 1 else ()


def enough(rates: Rates) -> tuple[int, float] | None:
    """The fewest connections that bring what all of them bring, and their rate; None where nothing was measured."""
    best = max((rate for _, rate in rates), default=0.0)
    return next(((number, rate) for number, rate in rates if rate * WORTH >= best), None)


def still_grows(rates: Rates) -> bool:
    """True when the most connections that were measured are worth it, so that more of them may be, too."""
    found = enough(rates)
    return len(rates) > 1 and found is not None and found[0] == rates[-1][0]
