"""scripts/bench: it produces its tables from checked results. No times are judged here."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from scripts.benchlib import peers, report
from scripts.benchlib.cases import CASES, Case, Target, choose
from scripts.benchlib.measure import Run, run
from scripts.benchlib.report import Sample
from tests.hub.content import git_blob_oid
from tests.tables import written

needs_peers = pytest.mark.skipif(not all(map(peers.is_there, peers.NAMES)), reason="a peer is not installed")


def sample(seconds: float, *, peak_mb: float = 50, requests: int = 1) -> Sample:
    return Sample(Run(seconds, seconds, peak_mb), requests, 1, 0.0)


@needs_peers
@pytest.mark.sampled(1, of="benchmarks")
def test_quick_run_writes_its_tables(tmp_path: Path) -> None:
    words = ("fast", "--quick", "--rounds", "1")
    text = written("scripts.benchlib", (report.BEGIN, report.END), tmp_path, *words)
    (case,) = (case for case in CASES if case.name.startswith("fast"))
    assert set(re.findall(rf"^\| {case.name} \| (\S+) \| \d", text, re.MULTILINE)) == set(case.peers)
    if Path("/proc/self/status").exists():
        assert not re.search(r"\| 0 \| \d+ \| \d+ \| \d+ \|$", text, re.MULTILINE), "a run without memory"


def test_the_other_cases_keep_what_was_written(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text(f"above\n{report.BEGIN}\n{report.END}\nbelow\n")
    for name, text in (("noop", "first"), ("fast-4g", "fast"), ("noop", "second")):
        report.write(document, {name: f"### {name}\n\n{text}"})
    inside = "### fast-4g\n\nfast\n\n### noop\n\nsecond"
    assert document.read_text() == f"above\n{report.BEGIN}\n{inside}\n{report.END}\nbelow\n"
    document.write_text("no place for them")
    with pytest.raises(ValueError, match=r"benchmarks\.md has no"):
        report.write(document, {})


def test_a_wrong_byte_is_noticed(tmp_path: Path) -> None:
    data = b"twelve bytes"
    known = {"size": len(data), "oid": git_blob_oid(data), "sha256": None}
    repo = peers.Repo("http://127.0.0.1:1", "org/name", {"a.json": known})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_bytes(data)
    peers.check("curl", repo, tmp_path)
    (tmp_path / "out" / "a.json").write_bytes(b"Twelve bytes")
    with pytest.raises(RuntimeError, match=r"a\.json is missing or wrong"):
        peers.check("curl", repo, tmp_path)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(RuntimeError, match=r"a\.json is missing or wrong"):
        peers.check("curl", repo, tmp_path)


def test_ratios_are_of_the_same_round() -> None:
    assert report.ratios({"glm-aria": [sample(1), sample(20)], "hf": [sample(2), sample(40)]}, "hf") == [0.5, 0.5]


@pytest.mark.parametrize(
    ("ours", "kept"),
    [
        (sample(1.0, peak_mb=199), ["yes", "yes"]),
        (sample(1.3, peak_mb=199), ["**no**", "yes"]),
        (sample(1.0, peak_mb=200), ["yes", "**no**"]),
    ],
)
def test_a_broken_promise_is_told(ours: Sample, kept: list[str]) -> None:
    case = Case("line", "", "tiny", targets=(Target("aria2c", 1.15),))
    text = report.promises(case, {"glm-aria": [ours], "aria2c": [sample(1)]})
    assert [line.split("|")[4].strip() for line in text.splitlines()[2:]] == kept


@pytest.mark.parametrize(("rates", "kept"), [((0.96, 1.04), "yes"), ((0.96, 1.06), "**no**"), ((0.94, 1.0), "**no**")])
def test_a_limit_is_met_in_every_run(rates: tuple[float, float], kept: str) -> None:
    case = Case("capped", "", "big:20M", cap=1 << 20)
    taken = [Sample(Run(30, 1, 50), 1, 1, 0.0, moving_s=20 / rate) for rate in rates]
    limit = report.promises(case, {"glm-aria": taken}).splitlines()[2]
    assert limit.split("|")[4].strip() == kept


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_is_that_of_the_whole_tree(tmp_path: Path) -> None:
    hold = "import time; held = bytearray(b'x') * 80_000_000; time.sleep(0.4)"
    both = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; child.wait()"
    measured = run([sys.executable, "-c", both], {}, tmp_path / "log")
    assert 160 < measured.peak_mb < 230


def test_a_failing_command_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: because"):
        run([sys.executable, "-c", "print('because', flush=True); raise SystemExit(3)"], {}, tmp_path / "log")


def test_an_unknown_case_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown case 'unheard-of'"):
        choose(["unheard-of"], quick=False)
