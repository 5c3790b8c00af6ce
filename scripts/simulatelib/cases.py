"""The worlds that are drawn and judged: fleets of all sizes, and what fails in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scripts.simulatelib.runs import Result
from scripts.simulatelib.world import GBIT, MBIT, Fault, Trouble, World

SIZES = (4, 8, 32, 100, 316, 1000, 3162, 10000)
"""Numbers of nodes that curves are drawn over."""

MOST_EGRESS, MOST_MESSAGES, MOST_BOARD = 1.05, 2.0, 5000.0
"""Bars for fleets of 100 nodes and more."""

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Narrow:
    """Fleets of all sizes with the same narrow place; `most_wall` is the bar for the ratio to the ideal time."""

    name: str
    what: str
    world: World
    most_wall: float

    def of(self, nodes: int) -> World:
        """The fleet with so many nodes."""
        return replace(self.world, nodes=nodes)


NARROW = (
    Narrow("origin", "8 GiB, origin 1 Gbit/s, nodes 5 Gbit/s", World(0, (8 * _GIB,), GBIT, 5 * GBIT), 1.15),
    Narrow("NIC", "8 GiB, origin and nodes 1 Gbit/s", World(0, (8 * _GIB,), GBIT, GBIT), 1.6),
)

EIGHT = World(8, (384 << 20,), 100 * MBIT, 500 * MBIT)
"""The fleet of 8 nodes that `scripts/bench-fleet` runs for real, and FOUR that of 4."""
FOUR = World(4, (384 << 20,), 200 * MBIT, 1000 * MBIT)
HUNDRED = World(100, (4 * _GIB,), GBIT, 5 * GBIT)


@dataclass(frozen=True, slots=True)
class Failure:
    """What fails, in which world, what is expected in words, and whether a result is so."""

    what: str
    world: World
    expected: str
    is_met: Callable[[Result], bool]

    def is_kept(self, result: Result) -> bool:
        """True when a result is so, and all who are to have everything have it."""
        return not result.missing and self.is_met(result)


def _with(world: World, *troubles: Trouble, **changes: object) -> World:
    return replace(world, troubles=troubles, **changes)  # type: ignore[arg-type]


FAILURES = (
    Failure(
        "a node that fetches is killed",
        _with(EIGHT, Trouble(Fault.KILL, 0.5, nodes=1)),
        "others 1.3, egress 1.1",
        lambda result: result.others <= 1.3 and result.egress <= 1.1,
    ),
    Failure(
        "10 of 100 nodes are killed",
        _with(HUNDRED, Trouble(Fault.KILL, 0.5, nodes=10)),
        "others 1.3, egress 1.1",
        lambda result: result.others <= 1.3 and result.egress <= 1.1,
    ),
    Failure(
        "a node gets a tenth of its line",
        _with(EIGHT, Trouble(Fault.SLOW, 0.5, nodes=1)),
        "others 1.2",
        lambda result: result.others <= 1.2,
    ),
    Failure(
        "a peer alters bytes",
        _with(EIGHT, Trouble(Fault.LIAR, 0.5, nodes=1)),
        "egress 1.1",
        lambda result: result.egress <= 1.1,
    ),
    Failure(
        "the scheduler is away for 5 s",
        _with(EIGHT, Trouble(Fault.MUTE, 0.3, until=0.3 + 5 / EIGHT.ideal)),
        "egress 1.02",
        lambda result: result.egress <= 1.02,
    ),
    Failure(
        "all schedulers are gone for good",
        _with(EIGHT, Trouble(Fault.MUTE, 0.3)),
        "egress 1.2",
        lambda result: result.egress <= 1.2,
    ),
    Failure(
        "two halves hear nothing of each other",
        _with(EIGHT, Trouble(Fault.PART, 0.3)),
        "egress 2.1",
        lambda result: result.egress <= 2.1,
    ),
    Failure(
        "they do again at 0.8 of the time",
        _with(EIGHT, Trouble(Fault.PART, 0.3, until=0.8)),
        "egress 1.6",
        lambda result: result.egress <= 1.6,
    ),
    Failure(
        "a node joins when all others are through",
        _with(EIGHT, late=1),
        "egress 1.01, it takes 1.2 of size / NIC",
        lambda result: result.egress <= 1.01 and result.late <= 1.2 * EIGHT.origin / EIGHT.line,
    ),
    Failure(
        "there is no scheduler",
        replace(EIGHT, is_alone=True),
        "wall 1.4, egress 1.1",
        lambda result: result.wall <= 1.4 and result.egress <= 1.1,
    ),
    Failure(
        "there is none, and a node is killed",
        _with(EIGHT, Trouble(Fault.KILL, 0.5, nodes=1), is_alone=True),
        "others 1.6, egress 1.2",
        lambda result: result.others <= 1.6 and result.egress <= 1.2,
    ),
)
