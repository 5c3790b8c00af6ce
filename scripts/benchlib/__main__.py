"""glm-aria and its peers side by side on a loopback Hub, which runs as a process of its own.

The peers take turns (A B C D, A B C D, ...), each as a whole process with an empty cache. Every result is checked for
its bytes outside the timing. What counts are ratios of runs that followed each other; times are shown, never judged.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benchlib import peers, report
from scripts.benchlib.cases import CASES, Case, choose
from scripts.benchlib.measure import run
from scripts.benchlib.report import Sample, Samples

ROOT = Path(__file__).resolve().parents[2]
_LARGE = 1 << 20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure glm-aria beside hf, aria2c and curl.")
    parser.add_argument("case", nargs="*", help=f"the beginning of a case's name; all of {[c.name for c in CASES]}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each peer in each case (default: 5)")
    parser.add_argument("--only", action="append", metavar="PEER", choices=peers.NAMES, help="only these peers")
    parser.add_argument("--data", type=Path, help="where big files are made and kept (default: removed at the end)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="another document")
    options = parser.parse_args()
    try:
        options.cases = choose(options.case, quick=options.quick)
    except ValueError as error:
        parser.error(str(error))
    return options


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-") as made:
        folder = Path(made)
        for case in options.cases:
            taking_part = [p for p in case.peers if peers.is_there(p) and (not options.only or p in options.only)]
            with loopback(case, folder, options.data or folder / "data") as state:
                samples = measure(case, taking_part, options.rounds, state, folder)
            text = report.block(case, samples, f"Made by `{typed(case, options)}` on {report.machine()}, {versions()}")
            print(text, flush=True)
            if options.write:
                report.write(options.docs, {case.name: text})


def typed(case: Case, options: argparse.Namespace) -> str:
    """The command to repeat a case; without folders, which are this machine's own business."""
    words = ["scripts/bench", case.name, "--rounds", str(options.rounds)]
    for peer in options.only or ():
        words += ["--only", peer]
    return shlex.join(words + ["--quick"] * options.quick)


@contextlib.contextmanager
def loopback(case: Case, folder: Path, data: Path) -> Iterator[dict[str, Any]]:
    """The Hub of a case; its state, as tests/hub/__main__.py describes it."""
    data.mkdir(parents=True, exist_ok=True)
    state, log = folder / "state.json", folder / "hub.log"
    argv = [sys.executable, "-m", "tests.hub", "--model", case.model, *case.shape]
    with log.open("wb") as output:
        process = subprocess.Popen([*argv, "--data", data, "--state", state], cwd=ROOT, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 300  # making 4 GiB takes its time
        while not state.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the loopback Hub does not start: {log.read_text(errors='replace')[-600:]}")
            time.sleep(0.05)
        yield json.loads(state.read_text())
    finally:
        process.terminate()
        process.wait()
        state.unlink(missing_ok=True)


def measure(case: Case, names: list[str], rounds: int, state: dict[str, Any], folder: Path) -> Samples:
    repo = peers.Repo.of(state)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    if case.again:
        for name in names:
            once(name, repo, folder / f"{case.name}-{name}", state, case)
    # A no-op is short, so that more rounds cost little and say more.
    for number in range(rounds * 3 if case.again else rounds):
        for name in names:
            home = folder / (f"{case.name}-{name}" if case.again else f"{case.name}-{name}-{number}")
            samples[name].append(sample := once(name, repo, home, state, case))
            said = f"{sample.run.wall_s:.2f} s, {sample.run.peak_mb:.0f} MB"
            print(f"{case.name} {number + 1} {name}: {said}", file=sys.stderr, flush=True)
            if not case.again:
                empty(home)
    return samples


def empty(home: Path) -> None:
    """Give back the space of large files. All names stay to the end of the benchmark: for minutes after a file was
    removed, ext4 passes over its inode, and looks at all of these whenever it makes a file. With 2,000 of them the next
    run took half as long again."""
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size > _LARGE:
            os.truncate(path, 0)


def once(name: str, repo: peers.Repo, home: Path, state: dict[str, Any], case: Case) -> Sample:
    """One run, then the proof that it did its work."""
    home.mkdir(parents=True, exist_ok=True)
    kind = {"from_modelscope": case.from_modelscope, "behind_run": case.behind_run, "in_python": case.in_python}
    argv = peers.command(name, repo, home, case.options, **kind)
    argv[0] = shutil.which(argv[0], path=peers.environment(repo, home)["PATH"]) or argv[0]
    ask(state, "__reset")
    os.sync()  # what the run before left dirty must not weigh on this one
    taken = run(argv, peers.environment(repo, home), home / "output.log")
    log = ask(state, "__log")
    peers.check(name, repo, home)
    sent = sum(exchange["bytes_sent"] for exchange in log)
    first = min((exchange["start"] for exchange in log if exchange["method"] == "GET" and exchange["file"]), default=0)
    connections = len({exchange["connection"] for exchange in log})
    return Sample(taken, len(log), connections, sent / 1e6, taken.end - first)


def ask(state: dict[str, Any], path: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{state['control_url']}/{path}", timeout=30) as answer:
        return json.load(answer)


def versions() -> str:
    from importlib.metadata import version

    said = [f"huggingface_hub {version('huggingface_hub')}"]
    for program in ("aria2c", "curl"):
        if peers.is_there(program):
            text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            said.append(" ".join(text.replace("version ", "").split()[:2]))
    return ", ".join(said)


if __name__ == "__main__":
    main()
