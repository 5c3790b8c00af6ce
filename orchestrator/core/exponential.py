"""Two exponentials: how long to wait after failures in a row, and how much an old measurement still counts."""

from __future__ import annotations


def backoff(failures: int, first: float, longest: float, roll: float) -> float:
    """Seconds to wait after `failures` (1, 2, …) in a row, drawn by `roll` (0 to 1) from a bound that doubles.

    The bound is `first` seconds after the first failure and at most `longest`. Full jitter: clients that failed
    together do not come back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """
    return roll * min(longest, first * 2.0 ** min(failures - 1, 62))


def decay(age: float, half_life: float) -> float:
    """The weight, 1 to 0, of what was measured `age` seconds ago. What comes from the future counts as new."""
    return float(0.5 ** (max(0.0, age) / half_life))
