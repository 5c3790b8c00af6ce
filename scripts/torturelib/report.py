"""From pytest's results to a table in markdown.

Tests say what they found by `record_property`: `crash:KEY` are the counts of tests/crash, `figure:NAME` a measured
figure, `client` the program that a test of tests/clients ran. In a trial of tests/fleet `fleet:what` fails and
`fleet:mode` leads the nodes; `fleet:ratio` is its time over the ideal, `fleet:egress` the bytes of the origin over the
size, and `fleet:peers` the share of peers in all bytes. A test of tests/faults counts under the first part of its
parameters, `1 bit flip` of `1 bit flip - root 2`, or under its own name.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

BEGIN, END = "<!-- torture {}: begin -->", "<!-- torture {}: end -->"
"""Around the table of a suite."""
_KINDS = {"kill": "SIGKILL", "error": "error"}
_SCENARIOS = {
    "first": "a first pull",
    "moved": "a branch that has moved",
    "local": "with `--local-dir`",
    "resumed": "a part to go on with",
    "gated": "a gated model",
    "single": "a file by its address",
    "imported": "`cache import`",
    "linked": "`cache link`",
}
_COLUMNS = ("points", "recovered", "wrong", "silent", "unrecovered", "litter")


@dataclass
class Results:
    """What the tests found, added up."""

    crash: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    """By scenario and kind."""
    outcomes: dict[str, dict[str, Counter[str]]] = field(default_factory=lambda: {"fault": {}, "client": {}})
    """Passed, failed and skipped tests, by fault and by client."""
    figures: dict[str, str] = field(default_factory=dict)
    """What was measured, with `**failed**` where the test held it to be too much."""
    fleet: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)
    """By what failed, one trial after another: its figures, and its outcome."""
    others: Counter[str] = field(default_factory=Counter)


def read(path: Path) -> Results:
    """Add up a results file of pytest (`--junitxml`)."""
    results = Results()
    for case in ET.parse(path).getroot().iter("testcase"):
        said = {prop.get("name", ""): prop.get("value", "") for prop in case.iter("property")}
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if failed else "skipped" if case.find("skipped") is not None else "passed"
        crash = {key.partition(":")[2]: value for key, value in said.items() if key.startswith("crash:")}
        if crash:
            row = results.crash.setdefault((crash["scenario"], crash["kind"]), Counter())
            row.update({key: int(value) for key, value in crash.items() if value.isdecimal()})
        for name, value in said.items():
            if name.startswith("figure:"):
                results.figures[name.partition(":")[2]] = f"{value} **failed**" if failed else value
        if ".faults." in f".{case.get('classname', '')}.":
            function, _, parameters = case.get("name", "").removesuffix("]").partition("[")
            # A row of the table has its own name, any other fault that of its test.
            own, is_row, _ = parameters.partition(" - ")
            fault = own if is_row else function.removeprefix("test_").replace("_", " ")
            results.outcomes["fault"].setdefault(fault, Counter())[outcome] += 1
        elif "fleet:what" in said:
            what = ", with ".join(said[key] for key in ("fleet:what", "fleet:mode") if key in said)
            results.fleet.setdefault(what, []).append({**said, "outcome": outcome})
        elif "client" in said:
            results.outcomes["client"].setdefault(said["client"], Counter())[outcome] += 1
        else:
            results.others[outcome] += 1
    return results


def render(results: Results, command: str) -> str:
    """The tables, with what made them."""
    lines = [f"Made by `{command.strip()}` on {_machine()}.", ""]
    if results.crash:
        lines += [
            "| command | broken by | points | recovered | wrong visible | silent | not recovered | litter |",
            "|---|---|---|---|---|---|---|---|",
        ]
        rows = sorted(results.crash.items(), key=lambda item: (list(_KINDS).index(item[0][1]), item[0][0]))
        for (scenario, kind), counts in rows:
            lines.append(_row(_SCENARIOS.get(scenario, scenario), _KINDS[kind], counts))
        for kind, text in _KINDS.items():
            total: Counter[str] = sum((counts for (_, k), counts in rows if k == kind), Counter())
            lines.append(_row("**all**", text, total))
        lines.append("")
    for what, outcomes in results.outcomes.items():
        if not outcomes:
            continue
        lines += [f"| {what} | runs | as it must be | not |", "|---|---|---|---|"]
        for name, counts in sorted(outcomes.items()):
            lines.append(f"| {name} | {sum(counts.values())} | {counts['passed']} | {counts['failed']} |")
        total = sum(outcomes.values(), Counter())
        lines += [f"| **all** | {sum(total.values())} | {total['passed']} | {total['failed']} |", ""]
    if results.fleet:
        lines += [
            "| what failed | trials | as it must be | not | most time / ideal | most egress | least from peers |",
            "|---|---|---|---|---|---|---|",
            *(_trials(what, trials) for what, trials in results.fleet.items()),
            "",
        ]
    if results.figures:
        lines += ["| figure | measured |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in sorted(results.figures.items())]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def write(document: Path, suite: str, table: str) -> None:
    """Put the table of a suite between its markers in the document."""
    text = document.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN.format(suite))
    _, end, after = rest.partition(END.format(suite))
    if not (begin and end):
        raise ValueError(f"{document} has no {BEGIN.format(suite)} and {END.format(suite)}")
    document.write_text(f"{before}{begin}\n{table}{end}{after}", "utf-8")


def _trials(what: str, trials: Sequence[Mapping[str, str]]) -> str:
    outcomes = Counter(trial["outcome"] for trial in trials)
    cells = [str(len(trials)), str(outcomes["passed"]), str(outcomes["failed"])]
    for name, worst in (("ratio", max), ("egress", max), ("peers", min)):
        figures = [float(trial[f"fleet:{name}"]) for trial in trials if f"fleet:{name}" in trial]
        cells.append(f"{worst(figures):.2f}" if figures else "")
    return f"| {what} | {' | '.join(cells)} |"


def _row(name: str, kind: str, counts: Counter[str]) -> str:
    return f"| {name} | {kind} | " + " | ".join(str(counts[column]) for column in _COLUMNS) + " |"


def _machine() -> str:
    aria2 = subprocess.run(["aria2c", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    found = re.search(r"[\d.]+$", aria2)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]}, "
        f"aria2 {found[0] if found else 'of an unknown version'}, huggingface_hub {version('huggingface_hub')}"
    )
