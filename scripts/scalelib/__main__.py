"""Each command as a whole process, once for each size, by glm-aria and by hf; tables and pictures of what it took.

CPU seconds say what a command costs, whatever else the machine does; wall time is not shown. The Hub is that of
tests/hub, a process of its own, and its CPU time is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.benchlib import peers, report
from scripts.benchlib.__main__ import loopback, versions
from scripts.benchlib.cases import Case
from scripts.benchlib.measure import Run, run
from scripts.scalelib.picture import Curve, Panel, draw
from scripts.scalelib.worlds import WORLDS, Scaled, Step, fill

ROOT = Path(__file__).resolve().parents[2]
MARKS = ("<!-- scale: begin -->", "<!-- scale: end -->")
_NOBODY = peers.Repo("http://127.0.0.1:9", "", {})


@dataclass(frozen=True, slots=True)
class Point:
    """What one command took at one size: CPU seconds, and MB (10**6 bytes) at its peak."""

    curve: str
    peer: str
    n: int
    cpu_s: float
    peak_mb: float


def parse() -> argparse.Namespace:
    names = [world.name for world in WORLDS]
    parser = argparse.ArgumentParser(prog="scripts/bench-scale", description="Measure cost against numbers.")
    parser.add_argument("world", nargs="*", choices=[[], *names], help=f"some of {names}; all if none is named")
    parser.add_argument("--most", type=int, help="no sizes above this")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put tables and pictures into the documents")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    options = parser.parse_args()
    chosen = [world for world in WORLDS if not options.world or world.name in options.world]
    if options.quick:
        chosen = [replace(world, sizes=(10, 40)) for world in chosen]
    most = options.most or max(max(world.sizes) for world in chosen)
    options.worlds = [replace(world, sizes=tuple(n for n in world.sizes if n <= most)) for world in chosen]
    return options


def main() -> None:
    options = parse()
    for world in options.worlds:
        with tempfile.TemporaryDirectory(prefix="glm-aria-scale-") as made:
            points = [point for n in world.sizes for point in measure(world, n, Path(made) / str(n))]
        words = ["scripts/bench-scale", world.name, *(["--quick"] if options.quick else ())]
        made_by = f"Made by `{shlex.join(words)}` on {report.machine()}, {versions()}."
        text = block(world, points, made_by)
        print(text, flush=True)
        if options.write:
            report.write(options.docs, {world.name: text}, MARKS, [each.name for each in WORLDS])
            pictures = options.docs.parent / "pictures"
            pictures.mkdir(exist_ok=True)
            (pictures / f"scale-{world.name}.svg").write_text(picture(world, points), "utf-8")


def measure(world: Scaled, n: int, home: Path) -> Iterator[Point]:
    """Run the steps of a world of n items."""
    home.mkdir()
    if world.others:
        fill(home / "glm-aria" / "hf" / "hub", n)
    with contextlib.ExitStack() as stack:
        repo = _NOBODY
        if world.model:
            state = stack.enter_context(loopback(Case("", "", world.model.format(n=n)), home, home))
            repo = peers.Repo.of(state)
            (home / "list.txt").write_text("".join(f"{found['name']}\n" for found in state["repos"]))
            if world.others:
                command(Step("", ("glm-aria", "verify", "-q")), repo, home)
        for step in world.steps:
            if n <= step.most and peers.is_there(step.peer):
                taken = command(step, repo, home)
                print(
                    f"{world.name} {n} {step.peer} {step.curve}: {taken.cpu_s:.2f} CPU-s", file=sys.stderr, flush=True
                )
                yield Point(step.curve, step.peer, n, taken.cpu_s, taken.peak_mb)


def command(step: Step, repo: peers.Repo, home: Path) -> Run:
    """Run one step to its end; what a pull brought is checked outside the timing."""
    # Of a cache that is only read there is one, and two of what is fetched.
    own = home / ("hf" if repo is not _NOBODY and step.peer == "hf" else "glm-aria")
    own.mkdir(exist_ok=True)
    words = {"REPO": repo.name, "LIST": str(home / "list.txt")}
    environment = peers.environment(repo, own)
    argv = [words.get(word, word) for word in step.argv]
    argv[0] = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
    taken = run(argv, environment, home / "output.log")
    if step.curve == "pull":
        peers.check(step.peer, repo, own)
    return taken


def block(world: Scaled, points: Sequence[Point], made_by: str) -> str:
    """The table of a world, below its picture."""
    lines = [
        f"### {world.name}",
        "",
        f"n is the number of {world.items}. {made_by}",
        "",
        f"![CPU seconds and memory against the number of {world.items}](pictures/scale-{world.name}.svg)",
        "",
    ]
    theirs = {(point.curve, point.n): point for point in points if point.peer == "hf"}
    beside = " hf: CPU s | peak MB |" if theirs else ""
    lines += [
        f"| command | n | CPU s | ms of CPU for each | peak MB |{beside}",
        "|---|---|---|---|---|" + "---|" * 2 * bool(theirs),
    ]
    for curve in dict.fromkeys(point.curve for point in points):
        for mine in (point for point in points if (point.curve, point.peer) == (curve, "glm-aria")):
            other = theirs.get((curve, mine.n))
            each = f"{mine.cpu_s / mine.n * 1000:.2f}"
            beside = f" {other.cpu_s:.2f} | {other.peak_mb:.0f} |" if other else " | |" * bool(theirs)
            lines.append(f"| {curve} | {mine.n:,} | {mine.cpu_s:.2f} | {each} | {mine.peak_mb:.0f} |{beside}")
    return "\n".join(lines)


def picture(world: Scaled, points: Sequence[Point]) -> str:
    """The picture of a world: CPU seconds, and memory."""
    cpu, memory = [], []
    for name, peer in dict.fromkeys((point.curve, point.peer) for point in points):
        mine = [point for point in points if (point.curve, point.peer) == (name, peer)]
        title, is_hf = f"{name}, {peer}", peer == "hf"
        cpu.append(Curve(title, tuple((point.n, point.cpu_s) for point in mine), is_dashed=is_hf))
        memory.append(Curve(title, tuple((point.n, point.peak_mb) for point in mine), is_dashed=is_hf))
    panels = (Panel("CPU seconds", tuple(cpu)), Panel("MB at the peak", tuple(memory)))
    return draw(
        f"Against the number of {world.items}",
        panels,
        "n; the slope of the grey lines is that of a fixed cost for each",
    )


if __name__ == "__main__":
    main()
