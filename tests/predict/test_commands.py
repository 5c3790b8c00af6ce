"""`glm-aria predict` as a user types it, on a state folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from orchestrator.app.compose import state_of
from orchestrator.cli.main import main
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.learning.generate import generate
from orchestrator.predict.log import DemandLog
from orchestrator.predict.trace import read_trace, text_of
from orchestrator.predict.trained import HORIZON
from orchestrator.settings import load


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith(("HF_", "GLM_ARIA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hf" / "hub"


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command with --json, and gives its data."""

    def run(*words: str, code: int = 0) -> Any:
        assert main([*words, "--json"]) == code
        document = json.loads(capsys.readouterr().out)
        return document["data"] if code == 0 else document["errors"][0]

    return run


def recent(kind: str) -> tuple[Demand, ...]:
    """Generated demand that ends now."""
    demands = generate(kind, 2, models=6, weeks=5)
    moved = time.time() // HOUR * HOUR - (demands[-1].at // HOUR + 1) * HOUR
    return tuple(replace(demand, at=demand.at + moved) for demand in demands)


@pytest.fixture
def log(cache: Path) -> DemandLog:
    return DemandLog(state_of(load({"cache_dir": cache}, environ=os.environ)))


def test_a_site_with_a_pattern_is_trained_and_its_forecast_shown(log: DemandLog, says: Callable[..., Any]) -> None:
    log.add(recent("weekly"))
    trained = says("predict", "train")
    assert trained["used"]
    assert not trained["enabled"]
    shown = says("predict", "show")
    assert shown == trained
    assert [len(model["pulls"]) for model in shown["models"]] == [HORIZON] * 6
    assert shown["models"][0]["day"] == pytest.approx(sum(shown["models"][0]["pulls"][:24]))
    assert shown["models"][0]["day"] >= shown["models"][-1]["day"]


def test_where_nothing_can_be_learned_the_naive_forecast_is_shown_and_not_used(
    log: DemandLog, says: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    log.add(recent("noise"))
    found = says("predict", "train")
    assert (found["used"], found["forecaster"]) == (False, "seasonal-naive")
    assert main(["predict", "show", "-n", "2"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert "not used" in shown.err


def test_without_history_nothing_is_used_and_without_training_nothing_shown(says: Callable[..., Any]) -> None:
    assert says("predict", "show", code=66)["hint"] == "glm-aria predict train"
    assert not says("predict", "train")["used"]
    assert says("predict", "show")["models"] == []


def test_a_trace_is_evaluated_and_drawn(says: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "t&<.jsonl").write_text(text_of(generate("daily", 2, models=6, weeks=5)))
    found = says("predict", "evaluate", "--trace", "t&<.jsonl", "--picture", "p.svg")
    assert found["forecaster"] in ("smoothing", "ridge")
    assert [score["passed"] for score in found["scores"]][:2] == [False, False]
    assert ElementTree.fromstring((tmp_path / "p.svg").read_text()).tag.endswith("svg")


def test_generated_demand_is_evaluated_the_same_each_time(says: Callable[..., Any]) -> None:
    words = ("predict", "evaluate", "--generated", "noise", "--seed", "7", "--shuffled")
    first = says(*words)
    assert first == says(*words)
    assert first["forecaster"] is None


def test_bad_lines_of_a_trace_are_told_by_their_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(text_of(generate("daily", 2, models=1, weeks=1)[:2]) + "nonsense\n")
    assert main(["predict", "evaluate", "--trace", "t.jsonl"]) == 0
    assert "line 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--trace", "absent"],
        ["train", "--trace", "other"],
        ["train", "--trace", "other", "--prometheus", "http://127.0.0.1:9"],
        ["train", "--prometheus", "127.0.0.1:9090"],
        ["train", "--prometheus", "http://user:word@127.0.0.1"],
        ["evaluate", "--shuffled"],
        ["evaluate", "--seed", "7"],
        ["evaluate", "--picture", "no-folder/p.svg"],
        ["evaluate", "--generated", "unheard-of"],
        ["evaluate", "--generated", "daily", "--trace", "other"],
    ],
)
def test_wrong_words_are_told_before_anything_is_written(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}\n")
    assert main(["predict", *words]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_picture_overwrites_nothing_and_that_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "dangling.svg").symlink_to("nowhere")
    (tmp_path / "there.svg").write_text("mine")
    for target in ("there.svg", "dangling.svg"):
        # That its trace is absent, too, is not seen.
        assert main(["predict", "evaluate", "--trace", "absent", "--picture", target]) == 73
    assert (tmp_path / "there.svg").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("weeks", [-100, 100], ids=["long ago", "to come"])
def test_a_trace_of_other_times_is_told_and_not_used(
    weeks: int, says: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    moved = [replace(demand, at=demand.at + weeks * 168 * HOUR) for demand in recent("daily")]
    (tmp_path / "t.jsonl").write_text(text_of(moved))
    found = says("predict", "train", "--trace", "t.jsonl")
    assert (found["used"], found["models"]) == (False, [])
    assert "nothing was asked for" in found["reason"]
    assert main(["predict", "show"]) == 0
    assert "expects" not in capsys.readouterr().err  # nothing is shown


def test_an_export_is_a_trace_and_overwrites_nothing(log: DemandLog, says: Callable[..., Any], tmp_path: Path) -> None:
    wanted = generate("daily", 2, models=2, weeks=1)
    log.add(wanted)
    assert says("predict", "export", "out.jsonl")["wishes"] == len(wanted)
    assert read_trace((tmp_path / "out.jsonl").read_bytes()).demands == wanted
    says("predict", "export", "out.jsonl", "--anonymous", code=73)
    assert read_trace((tmp_path / "out.jsonl").read_bytes()).demands == wanted
    says("predict", "export", "anonymous.jsonl", "--anonymous")
    assert "org/model" not in (tmp_path / "anonymous.jsonl").read_text()


def test_without_numpy_the_extra_is_named(tmp_path: Path) -> None:
    program = "import sys; sys.modules['numpy'] = None; from orchestrator.cli.main import program; program()"
    done = subprocess.run(
        [sys.executable, "-c", program, "predict", "train"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78, done.stderr
    assert "glm-aria[predict]" in done.stderr
    export = subprocess.run(
        [sys.executable, "-c", program, "predict", "export", "out.jsonl"], capture_output=True, timeout=60, check=False
    )
    assert export.returncode == 0, export.stderr
