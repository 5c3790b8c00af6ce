"""Measured runs as markdown: the table, the promises, and their place in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.benchlib.cases import CAP_SHARE, CASES, IDEAL_SHARE, MEMORY_MB, Case
from scripts.benchlib.measure import Run

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
ORDER = tuple(case.name for case in CASES)


@dataclass(frozen=True, slots=True)
class Sample:
    """One checked run, and what the Hub and its CDN saw of it."""

    run: Run
    requests: int
    connections: int
    sent_mb: float
    """What the servers handed to their kernel: more than the content when ranges are asked for and then cut off."""
    moving_s: float = 0.0
    """From the first request for a file to the end of the process."""


Samples = Mapping[str, Sequence[Sample]]
"""Per peer, one sample a round, in order."""


def ratios(samples: Samples, peer: str) -> list[float]:
    """glm-aria's time over the peer's, round by round, so that a busy moment weighs on both."""
    return [
        ours.run.wall_s / theirs.run.wall_s
        for ours, theirs in zip(samples.get("glm-aria", ()), samples.get(peer, ()), strict=False)
    ]


def table(case: Case, samples: Samples) -> str:
    lines = [
        "| case | peer | seconds | glm-aria / peer | CPU s | peak MB | requests | connections | sent MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for peer, taken in samples.items():
        ratio = "" if peer == "glm-aria" else spread(ratios(samples, peer))
        cells = [
            case.name,
            peer,
            spread([sample.run.wall_s for sample in taken]),
            ratio,
            f"{median(sample.run.cpu_s for sample in taken):.2f}",
            f"{max(sample.run.peak_mb for sample in taken):.0f}",
            f"{median(sample.requests for sample in taken):.0f}",
            f"{median(sample.connections for sample in taken):.0f}",
            f"{median(sample.sent_mb for sample in taken):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def promises(case: Case, samples: Samples) -> str:
    """Each promise that these samples can decide, and whether it is kept."""
    lines = ["| case | promise | measured | kept |", "|---|---|---|---|"]

    def row(promise: str, measured: str, *, kept: bool) -> None:
        lines.append(f"| {case.name} | {promise} | {measured} | {'yes' if kept else '**no**'} |")

    for target in case.targets:
        if measured := ratios(samples, target.peer):
            found = median(measured)
            row(f"at most {target.ratio} of {target.peer}", f"{found:.2f}", kept=found <= target.ratio)
    ours = samples.get("glm-aria", ())
    if not ours:
        return "\n".join(lines)
    if case.ideal:
        reached = median(case.bytes / case.ideal / sample.moving_s for sample in ours)
        promise = f"from the first byte on, proof included: at least {IDEAL_SHARE} of what all sources send"
        row(promise, f"{reached:.2f}", kept=reached >= IDEAL_SHARE)
    if case.cap:
        rates = [case.bytes / sample.moving_s / case.cap for sample in ours]
        is_met = all(abs(rate - 1) <= CAP_SHARE for rate in rates)
        row(f"the limit is met within {CAP_SHARE:.0%}", spread(rates), kept=is_met)
    peak = max(sample.run.peak_mb for sample in ours)
    row(f"under {MEMORY_MB} MB at its peak", f"{peak:.0f} MB", kept=peak < MEMORY_MB)
    if case.again:
        asked = max(sample.requests for sample in ours)
        row("at most 2 requests", f"{asked}", kept=asked <= 2)
    return "\n".join(lines)


def machine() -> str:
    """Cores, memory and kernel; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    release = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {platform.system()} {release}"


def block(case: Case, samples: Samples, made: str) -> str:
    """What the document says about a case. `made` tells by which command, with which programs."""
    rounds = max((len(taken) for taken in samples.values()), default=0)
    head = f"{case.what[0].upper()}{case.what[1:]}. {made}; {rounds} rounds."
    return "\n\n".join([f"### {case.name}", head, table(case, samples), promises(case, samples)])


def write(
    path: Path, blocks: Mapping[str, str], marks: tuple[str, str] = (BEGIN, END), order: Sequence[str] = ORDER
) -> None:
    """Put the blocks, by the names of their cases, between the marks of the document; other cases keep theirs.

    `order` names the cases as they are to stand there. Raises ValueError when the marks are not there.
    """
    before, begin, rest = path.read_text("utf-8").partition(marks[0])
    known, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{path.name} has no {marks[0]} ... {marks[1]}")
    kept = {text.partition("\n")[0].strip(): f"### {text.strip()}" for text in known.split("### ")[1:]}
    merged = {**kept, **blocks}
    text = "\n\n".join(merged[name] for name in order if name in merged)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


def spread(values: Sequence[float]) -> str:
    """The median, with the smallest and the largest."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "-"
