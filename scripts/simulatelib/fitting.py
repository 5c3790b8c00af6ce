"""The costs with which simulated fleets take as long as real ones did, as `scripts/bench-fleet` told of them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from statistics import median

from scripts.simulatelib.cases import EIGHT, FOUR
from scripts.simulatelib.costs import FITTED, Costs
from scripts.simulatelib.runs import run
from scripts.simulatelib.world import MBIT, World

_WORLDS = {
    "four": FOUR,
    "eight": EIGHT,
    "nic": replace(EIGHT, origin=500 * MBIT),
    "nic-quarter": replace(EIGHT, origin=125 * MBIT, line=125 * MBIT),
}
_LINE = re.compile(r"(?P<case>[\w-]+) \d+ (?P<way>[^:]*): (?P<wall>[0-9.]+) s, egress")
_FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
_ROUNDS = 3
_SEEDS = (1, 2, 3)
_INERTIA = 0.003
"""A cost that is twice the first value, or half of it, is worth as much as a time that is wrong by 4 %."""


def walls(lines: Iterable[str]) -> dict[World, float]:
    """The median of the seconds that real fleets took, by the worlds that are like them."""
    found: dict[World, list[float]] = defaultdict(list)
    for line in lines:
        told = _LINE.match(line)
        world = _WORLDS.get(told["case"]) if told else None
        if told and world and "--fleet" in told["way"]:
            found[world].append(float(told["wall"]))
        elif told and world and ("--peer" in told["way"] or "--lan" in told["way"]):
            found[replace(world, is_alone=True)].append(float(told["wall"]))
    return {world: median(each) for world, each in found.items()}


def fit(real: Mapping[World, float], first: Costs) -> Costs:
    """The costs with which simulated times are nearest to real ones, and not far from the first ones without need."""

    def error(costs: Costs) -> float:
        found = sum(math.log(_simulated(world, costs) / wall) ** 2 for world, wall in real.items()) / len(real)
        moved = sum(math.log(getattr(costs, name) / getattr(first, name)) ** 2 for name in FITTED)
        return found + _INERTIA * moved

    best = first
    for _ in range(_ROUNDS):
        for name in FITTED:
            tried = [replace(best, **{name: round(getattr(best, name) * factor, 4)}) for factor in _FACTORS]
            best = min(tried, key=error)
    return best


def report(real: Mapping[World, float], first: Costs) -> str:
    """The fitted costs in words, and how near the times are that they give."""
    if not real:
        return "no run of a fleet is told of in these files: save what scripts/bench-fleet prints to stderr"
    best = fit(real, first)
    lines = [f"{name} {getattr(best, name):g} (was {getattr(first, name):g})" for name in FITTED]
    for world, wall in real.items():
        kind = "without schedulers" if world.is_alone else "with a scheduler"
        lines.append(
            f"{world.nodes} nodes {kind}: {wall:.1f} s, simulated {_simulated(world, best):.1f} s, "
            f"before {_simulated(world, first):.1f} s"
        )
    return "\n".join(lines)


@cache
def _simulated(world: World, costs: Costs) -> float:
    return median(run(world, costs, seed).wall_s for seed in _SEEDS)
