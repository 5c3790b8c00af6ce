"""Curves as an SVG picture: logarithmic axes, so that what is linear has the slope of the grey lines.

The y axis of a panel can be linear, from 0, with level grey lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

_WIDTH, _HEIGHT = 400.0, 300.0
_COLOURS = ("#0b62c4", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#be123c")


@dataclass(frozen=True, slots=True)
class Curve:
    """A line: `points` are x and y, both above 0. `is_dashed` for another program than ours."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str = ""
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A diagram of some curves over the same x."""

    title: str
    curves: tuple[Curve, ...]
    is_linear: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis over whole powers of ten; `length` is in pixels."""

    low: int
    high: int
    length: float
    is_linear = False

    @classmethod
    def over(cls, values: Sequence[float], length: float) -> Axis:
        """The axis that holds these values."""
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(low, max(high, low + 1), length)

    def at(self, value: float) -> float:
        """Where a value lies, in pixels from the low end."""
        return (math.log10(value) - self.low) / (self.high - self.low) * self.length

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """The place and the text of each power of ten."""
        powers = range(self.low, self.high + 1)
        return tuple((self.at(10.0**power), f"{10.0**power:,g}") for power in powers)


@dataclass(frozen=True, slots=True)
class Level:
    """A linear axis from 0 to `high`; `length` is in pixels."""

    high: float
    length: float
    is_linear = True

    @classmethod
    def over(cls, values: Sequence[float], length: float) -> Level:
        """The axis that holds these values."""
        most = max(values)
        step = 10.0 ** math.floor(math.log10(most))
        return cls(math.ceil(most / step * 2) * step / 2, length)

    def at(self, value: float) -> float:
        """Where a value lies, in pixels from 0."""
        return value / self.high * self.length

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """The places and the texts of fifths."""
        return tuple((self.at(self.high * fifth / 5), f"{self.high * fifth / 5:,g}") for fifth in range(6))


def draw(title: str, panels: Sequence[Panel], x_title: str) -> str:
    """The picture: the panels side by side, and below them one legend for the curves of all."""
    names = tuple(dict.fromkeys(curve.name.partition(",")[0] for panel in panels for curve in panel.curves))
    drawn = []
    for panel in panels:
        points = [point for curve in panel.curves for point in curve.points]
        x, heights = Axis.over([x for x, _ in points], _WIDTH), [y for _, y in points]
        y = Level.over(heights, _HEIGHT) if panel.is_linear else Axis.over(heights, _HEIGHT)
        lines = [
            (
                curve,
                _COLOURS[names.index(curve.name.partition(",")[0]) % len(_COLOURS)],
                [(round(x.at(a), 1), round(_HEIGHT - y.at(b), 1)) for a, b in curve.points],
            )
            for curve in panel.curves
        ]
        drawn.append((panel.title, x, y, lines))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("curves.svg.j2")
    return template.render(title=title, x_title=x_title, panels=drawn, width=_WIDTH, height=_HEIGHT) + "\n"
