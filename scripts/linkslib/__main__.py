"""`glm-aria cache link` into the folder of each tool, in turns with `cp -r` and with hard links by `cp -rl`.

The model is pulled once, from a loopback Hub. Each command is a whole process that fills an empty folder beside the
cache; what it made is compared with the model outside the timing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.layouts.known import TOOLS
from scripts.benchlib import report
from scripts.benchlib.measure import Run, run
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.layouts.gguf import gguf

BEGIN, END = "<!-- bench-links: begin -->", "<!-- bench-links: end -->"
ROOT = Path(__file__).parents[2]
NAME = "org/model"
COPY, HARD = "cp -r", "cp -rl"
GLM = (sys.executable, "-m", "orchestrator")
_QUICK = 16
"""The part of the sizes that a quick run has."""


def main() -> None:
    """Measure, print the table, and write it into the document where asked."""
    parser = argparse.ArgumentParser(prog="scripts/bench-links", description="Measure cache link beside cp and ln.")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--quick", action="store_true", help="a small model, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-links-") as made:
        rows, size = measure(Path(made), given.rounds, _QUICK if given.quick else 1)
    words = ["scripts/bench-links", "--rounds", str(given.rounds), *["--quick"] * given.quick]
    text = block(rows, f"{size >> 20} MiB. Made by `{shlex.join(words)}` on {report.machine()}")
    print(text, flush=True)
    if given.write:
        report.write(given.docs, {"links": text}, (BEGIN, END), ("links",))


def files_of(part: int) -> dict[str, bytes]:
    """A model that every tool has a use for: 384 MiB in GGUF and safetensors, and small files."""
    weights = {f"loras/m-{number}.safetensors": generate((64 << 20) // part, number) for number in (1, 2)}
    small = {f"tokenizer/{number}.json": b"%d" % number * 4000 for number in range(20)}
    return {"loras/m-Q4_K_M.gguf": gguf(tensors={"w": (1024, 65536 // part)}), **weights, **small, "config.json": b"{}"}


def measure(folder: Path, rounds: int, part: int) -> tuple[list[tuple[str, ...]], int]:
    """A row for each tool and for both commands, and the size of the model."""
    files = files_of(part)
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env |= {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "hf")}
    with LoopbackHub([Repo("model", NAME, dict(files))]) as hub:
        words = [*GLM, "pull", "--root", hub.url, "--no-mirrors", NAME]
        subprocess.run(words, env=env, check=True, capture_output=True, timeout=300)
    (snapshot,) = (folder / "hf" / "hub" / "models--org--model" / "snapshots").iterdir()
    # -L: the names in a snapshot are symlinks.
    ways: dict[str, tuple[str, ...]] = {COPY: ("cp", "-rL", f"{snapshot}/."), HARD: ("cp", "-rlL", f"{snapshot}/.")}
    ways |= {tool.name: (*GLM, "cache", "link", "--layout", tool.name, NAME) for tool in TOOLS}
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    disk: dict[str, float] = {}
    digests = {hashlib.sha256(content).digest() for content in files.values()}
    alone = blocks_of([folder / "hf"])
    for number in range(rounds):
        for way, command in ways.items():
            out = folder / "out"
            out.mkdir()
            os.sync()
            runs[way].append(run([*command, str(out)], env, folder / "log"))
            check(out, digests, is_whole=way in (COPY, HARD))
            disk[way] = blocks_of([folder / "hf", out]) / alone
            shutil.rmtree(out)
            print(f"{number + 1} {way}: {runs[way][-1].wall_s:.2f} s", file=sys.stderr, flush=True)
    return [row(way, runs, disk[way]) for way in ways], sum(map(len, files.values()))


def row(way: str, runs: dict[str, list[Run]], disk: float) -> tuple[str, ...]:
    """A line of the table: ratios are of the same round."""
    ratios = [
        ""
        if way == peer
        else report.spread([ours.wall_s / theirs.wall_s for ours, theirs in zip(runs[way], runs[peer], strict=True)])
        for peer in (COPY, HARD)
    ]
    peak = max(taken.peak_mb for taken in runs[way])
    return (way, report.spread([taken.wall_s for taken in runs[way]]), *ratios, f"{disk:.2f}", f"{peak:.0f}")


def check(out: Path, digests: set[bytes], *, is_whole: bool) -> None:
    """Raise RuntimeError where weights are missing; a tool has only the files for which it has a use."""
    found = set()
    for path in out.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                found.add(hashlib.file_digest(file, "sha256").digest())
    if not found & digests or (is_whole and found != digests):
        raise RuntimeError(f"{out} has other files than the model")


def blocks_of(folders: Sequence[Path]) -> int:
    """The bytes that all files below take on the disk, each counted once."""
    return sum({(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for stat in _stats(folders)}.values())


def _stats(folders: Sequence[Path]) -> Iterator[os.stat_result]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path.stat()


def block(rows: Sequence[tuple[str, ...]], made: str) -> str:
    """The table, below its heading."""
    head = (
        "way",
        "seconds",
        f"seconds / {COPY}",
        f"seconds / {HARD}",
        "bytes on the disk / the cache alone",
        "peak MB",
    )
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]
    return "\n".join(["### links", "", f"{made}.", "", *lines])


if __name__ == "__main__":
    main()
