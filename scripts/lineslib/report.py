"""Runs over lines as Markdown tables and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from scripts.lineslib.cases import Case
from scripts.lineslib.runs import Taken
from scripts.lineslib.watch import Ping

BASE = "aria2c"


@dataclass(frozen=True, slots=True)
class Measured:
    """A case, and what its peers took: by their label one run a round, in order.

    `idle` is the ping when nothing else is on the line, `alone` the bytes per second of the curl beside
    when it is alone.
    """

    case: Case
    limit_s: float
    rounds: Mapping[str, Sequence[Taken]]
    idle: Ping | None = None
    alone: float = 0

    def ratios(self, peer: str, base: str = BASE) -> list[float]:
        """The peer's time over that of the base, round by round."""
        pairs = zip(self.rounds[peer], self.rounds.get(base, ()), strict=False)
        return [ours.seconds / theirs.seconds for ours, theirs in pairs]

    def as_json(self) -> dict[str, Any]:
        """All figures of all runs."""
        runs = [asdict(taken) for taken_by in self.rounds.values() for taken in taken_by]
        return {
            "case": self.case.name,
            "what": self.case.what,
            "limit_s": self.limit_s,
            "idle": asdict(self.idle) if self.idle else None,
            "alone": self.alone,
            "runs": runs,
        }


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and the smallest and the largest where there are several."""
    if not values:
        return ""
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def block(measured: Measured, made: str) -> str:
    """What the document says about a case. `made` tells by which command, with which programs."""
    case = measured.case
    head = f"{case.what[0].upper()}{case.what[1:]}. Limit {measured.limit_s:.1f} s. {made}."
    return "\n\n".join([f"### {case.name}", head, table(measured), timelines(measured)])


def rows(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *body))


def table(measured: Measured) -> str:
    """What each peer took, and what it did to the line."""
    heads = ["client", "n", "seconds", "/ aria2c", "of the line", "served/size", "came/size", "CPU s"]
    heads += ["peak MB", "connections", "retransmitted", "lost", "overflowed"]
    body = []
    for peer, runs in measured.rounds.items():
        middle = _medians(runs)
        stopped = "" if all(taken.is_whole for taken in runs) else "about "
        body.append(
            [
                peer,
                str(len(runs)),
                stopped + spread([taken.seconds for taken in runs]),
                "" if peer == BASE else spread(measured.ratios(peer), 2),
                f"{middle(lambda taken: taken.share):.0%}",
                f"{middle(lambda taken: taken.served):.2f}",
                f"{middle(lambda taken: taken.came):.2f}",
                f"{middle(lambda taken: taken.cpu_s):.1f}",
                f"{max(taken.peak_mb for taken in runs):.0f}",
                f"{middle(lambda taken: taken.connections):.0f}",
                f"{middle(lambda taken: taken.retransmitted):.1%}",
                f"{middle(lambda taken: taken.lost):.0f}",
                f"{middle(lambda taken: taken.overflowed):.0f}",
            ]
        )
    return rows(heads, body)


def timelines(measured: Measured) -> str:
    """Where the time went, of the runs that came to their end, and what others on the line felt."""
    heads = ["client", "first 5 % after", "line used while 5-90 % came", "the last 10 % took", "could take"]
    if idle := measured.idle:
        heads += [f"ping median ms (idle {idle.median_ms:.0f})", f"ping p95 ms (idle {idle.p95_ms:.0f})"]
    if measured.alone:
        heads += [f"curl beside MB/s (alone {measured.alone / 1e6:.2f})", "curl keeps", "line used when it is gone"]
    body = []
    for peer, runs in measured.rounds.items():
        if not (whole := [taken for taken in runs if taken.is_whole]):
            continue
        middle = _medians(whole)
        cells = [
            peer,
            f"{middle(lambda taken: taken.timeline.first_s):.1f} s",
            f"{middle(lambda taken: taken.timeline.filled):.0%}",
            f"{middle(lambda taken: taken.timeline.tail_s):.1f} s",
            f"{middle(lambda taken: taken.timeline.tail_limit_s):.1f} s",
        ]
        pings = [taken.ping for taken in whole if taken.ping]
        if measured.idle:
            cells += [spread([ping.median_ms for ping in pings], 0), spread([ping.p95_ms for ping in pings], 0)]
        beside = [taken.beside for taken in whole if taken.beside]
        if measured.alone:
            kept = [one.rate / measured.alone for one in beside]
            cells += [spread([one.rate / 1e6 for one in beside], 2), spread(kept, 2)]
            cells.append(spread([one.after for one in beside], 2))
        body.append(cells)
    return rows(heads, body)


def drawn_block(found: Sequence[Measured], made: str) -> str:
    """All random lines, a row each, and over all of them the ratios and what came."""
    labels = list(found[0].rounds)
    heads = ["line", "what", "limit s"]
    for label in labels:
        heads += [f"{label} s", "came/size"]
    others = [label for label in labels if label != BASE]
    heads += [f"{label} / aria2c" for label in others]
    body = []
    for one in found:
        cells = [one.case.name, one.case.what, f"{one.limit_s:.1f}"]
        for runs in one.rounds.values():
            cells += [spread([taken.seconds for taken in runs]), f"{_medians(runs)(lambda taken: taken.came):.2f}"]
        body.append([*cells, *(spread(one.ratios(label), 2) for label in others)])
    lines = []
    for label in labels:
        came = max(taken.came for one in found for taken in one.rounds[label])
        text = f"- {label}: came/size at most {came:.2f}"
        if label != BASE and (ratios := [ratio for one in found for ratio in one.ratios(label)]):
            text += f"; of aria2c's time {median(ratios):.2f} in the median, {max(ratios):.2f} at most"
        lines.append(text)
    return "\n\n".join(["### random", f"{made}.", rows(heads, body), "\n".join(lines)])


def _medians(runs: Sequence[Taken]) -> Callable[[Callable[[Taken], float]], float]:
    return lambda value: median(map(value, runs))
