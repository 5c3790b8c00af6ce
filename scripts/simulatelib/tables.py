"""Tables and pictures of simulated fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from scripts.scalelib.picture import Curve, Panel, draw
from scripts.simulatelib.cases import MOST_BOARD, MOST_EGRESS, MOST_MESSAGES, Failure, Narrow
from scripts.simulatelib.runs import Result

_JUDGED = 100
"""Fleets of at least so many nodes have bars."""


def is_within(narrow: Narrow, result: Result) -> bool:
    """True when a fleet keeps all bars, or is so small that it has none."""
    return result.nodes < _JUDGED or (
        result.missing == 0
        and result.egress <= MOST_EGRESS
        and result.wall <= narrow.most_wall
        and result.messages <= MOST_MESSAGES
        and result.board <= MOST_BOARD
    )


def sizes(cases: Sequence[Narrow], found: Mapping[str, Sequence[Result]], words: str) -> str:
    """The block of fleets of all sizes. `words` are the options that made it."""
    lines = [
        "### sizes",
        "",
        f"Made by `scripts/simulate curves {words} --write`; the highest of the seeds. `wall` is the ratio of the time "
        "until the last node was through, `half` of that until half of them were, to the ideal time.",
        "",
        "![time of fleets over the number of nodes](pictures/fleet-time.svg)",
        "",
        "![messages and operations of the board over the number of nodes](pictures/fleet-control.svg)",
        "",
        "| narrow place | nodes | wall | half | egress | from peers | messages a node and second | operations of the "
        "board a second | registers a second | fairness |",
        "|---" * 10 + "|",
    ]
    for case in cases:
        for nodes, runs in _by_size(found[case.name]).items():
            cells = [
                f"{max(each.wall for each in runs):.2f}",
                f"{max(each.median for each in runs):.2f}",
                f"{max(each.egress for each in runs):.3f}",
                f"{min(each.peers for each in runs):.4f}",
                f"{max(each.messages for each in runs):.1f}",
                f"{max(each.board for each in runs):,.0f}",
                f"{max(each.registers for each in runs):,.0f}",
                f"{min(each.fairness for each in runs):.2f}",
            ]
            lines.append(f"| {case.name} ({case.what}) | {nodes:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def failures(cases: Sequence[Failure], found: Mapping[str, Sequence[Result]], seeds: Sequence[int]) -> str:
    """The block of what failures cost."""
    lines = [
        "### failures",
        "",
        f"Made by `scripts/simulate failures --seeds {len(seeds)} --write`: the median and the highest of the seeds. "
        "`others` are the nodes that nothing befell.",
        "",
        "| what fails | nodes | wall | others | egress | at most | kept |",
        "|---" * 7 + "|",
    ]
    for case in cases:
        runs = found[case.what]
        is_late = case.world.late > 0
        cells = [
            _spread([each.late * case.world.line / case.world.origin if is_late else each.wall for each in runs]),
            _spread([each.others for each in runs]),
            _spread([each.egress for each in runs]),
            case.expected,
            f"{sum(case.is_kept(each) for each in runs)} of {len(runs)}",
        ]
        lines.append(f"| {case.what} | {case.world.nodes:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f}, {max(values):.2f}"


def _by_size(results: Sequence[Result]) -> dict[int, list[Result]]:
    found: dict[int, list[Result]] = {}
    for each in results:
        found.setdefault(each.nodes, []).append(each)
    return found


def pictures(cases: Sequence[Narrow], found: Mapping[str, Sequence[Result]]) -> dict[str, str]:
    """The pictures by their names."""
    by_case = {case.name: _by_size(found[case.name]) for case in cases}
    counts = [nodes for nodes in by_case[cases[0].name] if nodes >= _JUDGED] or list(by_case[cases[0].name])

    def curves(name: str) -> list[Curve]:
        return [
            Curve(
                case.name, tuple((nodes, max(getattr(each, name) for each in runs)) for nodes, runs in by_size.items())
            )
            for case, by_size in ((case, by_case[case.name]) for case in cases)
        ]

    def bar(name: str, value: float) -> Curve:
        return Curve(f"{name}, at most", ((counts[0], value), (counts[-1], value)), is_dashed=True)

    walls = [*curves("wall"), *(bar(case.name, case.most_wall) for case in cases)]
    halves = curves("median")
    panels = (
        Panel("seconds until the last node is through / ideal", tuple(walls), is_linear=True),
        Panel("seconds until half of the nodes are / ideal", tuple(halves), is_linear=True),
    )
    control = (
        Panel("messages a node and second", tuple(curves("messages")), is_linear=True),
        Panel("operations of the board a second", tuple(curves("board"))),
    )
    return {
        "fleet-time": draw("Time over the number of nodes, by what is narrow", panels, "nodes"),
        "fleet-control": draw("Control over the number of nodes, by what is narrow", control, "nodes"),
    }
