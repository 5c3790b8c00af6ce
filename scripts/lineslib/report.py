"""Runs over lines as Markdown tables and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from scripts.lineslib.cases import Case
from scripts.lineslib.runs import Ping, Taken

Rounds = Mapping[str, Sequence[Taken]]
"""By the label of a peer, one run a round, in order."""
BASE = "aria2c"


def ratios(rounds: Rounds, peer: str, base: str = BASE) -> list[float]:
    """The peer's time over that of the base, round by round."""
    return [ours.seconds / theirs.seconds for ours, theirs in zip(rounds[peer], rounds.get(base, ()), strict=False)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and the smallest and the largest where there are several."""
    if not values:
        return ""
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(case: Case, rounds: Rounds) -> str:
    """What each peer took, and what it did to the line."""
    limit = next((taken.limit_s for runs in rounds.values() for taken in runs), 0)
    lines = [
        f"**{case.name}: {case.what}. Limit {limit:.1f} s.**",
        "",
        "| client | n | seconds | / aria2c | of the line | served/size | CPU s | peak MB | connections | retransmitted "
        "| lost, overflowed |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for peer, runs in rounds.items():

        def middle(value: Callable[[Taken], float], runs: Sequence[Taken] = runs) -> float:
            return median(map(value, runs))

        cells = [
            peer,
            str(len(runs)),
            spread([taken.seconds for taken in runs]) + (" (stopped)" * (not all(taken.is_whole for taken in runs))),
            "" if peer == BASE else spread(ratios(rounds, peer), 2),
            f"{middle(lambda taken: taken.share):.0%}",
            f"{middle(lambda taken: taken.served):.2f}",
            f"{middle(lambda taken: taken.cpu_s):.1f}",
            f"{max(taken.peak_mb for taken in runs):.0f}",
            f"{middle(lambda taken: taken.connections):.0f}",
            f"{middle(lambda taken: taken.retransmitted):.1%}",
            f"{middle(lambda taken: taken.lost):.0f}, {middle(lambda taken: taken.overflowed):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def timeline(rounds: Rounds, idle: Ping | None) -> str:
    """Where the time went."""
    head, rule = (
        "| client | first 5 % after | line used while 5-90 % came | the last 10 % took | could take |",
        "|---" * 5,
    )
    if idle:
        head, rule = (
            f"{head} ping median ms (idle {idle.median_ms:.0f}) | p95 ms (idle {idle.p95_ms:.0f}) |",
            "|---" * 7,
        )
    lines = [head, f"{rule}|"]
    for peer, runs in rounds.items():
        cells = [
            peer,
            f"{median(taken.first_s for taken in runs):.1f} s",
            f"{median(taken.filled for taken in runs):.0%}",
            f"{median(taken.tail_s for taken in runs):.1f} s",
            f"{median(taken.tail_limit_s for taken in runs):.1f} s",
        ]
        if idle:
            pings = [taken.ping for taken in runs if taken.ping]
            cells += [spread([ping.median_ms for ping in pings], 0), spread([ping.p95_ms for ping in pings], 0)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def drawn_row(case: Case, rounds: Rounds) -> str:
    """One random line, one round of each peer."""
    limit = next(taken.limit_s for runs in rounds.values() for taken in runs)
    cells = [case.name, case.what, f"{limit:.1f}"]
    for runs in rounds.values():
        cells += [spread([taken.seconds for taken in runs]), f"{median(taken.served for taken in runs):.2f}"]
    cells += [spread(ratios(rounds, peer), 2) for peer in rounds if peer != BASE]
    return f"| {' | '.join(cells)} |"


def drawn_head(labels: Sequence[str]) -> str:
    cells = ["line", "what", "limit s"]
    for label in labels:
        cells += [f"{label} s", "served/size"]
    cells += [f"{label} / aria2c" for label in labels if label != BASE]
    return f"| {' | '.join(cells)} |\n{'|---' * len(cells)}|"


def drawn_summary(found: Sequence[Rounds]) -> str:
    """Over all random lines: the median and the largest ratio of each peer, and the most that was served."""
    lines = []
    for peer in found[0] if found else ():
        served = max(taken.served for rounds in found for taken in rounds[peer])
        text = f"{peer}: served/size at most {served:.2f}"
        if peer != BASE and (all_ratios := [ratio for rounds in found for ratio in ratios(rounds, peer)]):
            text += f"; of aria2c's time, median {median(all_ratios):.2f}, largest {max(all_ratios):.2f}"
        lines.append(f"- {text}")
    return "\n".join(lines)


def as_json(case: Case, rounds: Rounds, idle: Ping | None) -> dict[str, Any]:
    """All figures of all runs."""
    runs = [asdict(taken) for taken_by in rounds.values() for taken in taken_by]
    return {"case": case.name, "what": case.what, "idle": asdict(idle) if idle else None, "runs": runs}
