"""Calls in a program: from threads and asyncio, several at once, interrupted, with progress; and what they raise."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Stop, hf_hub_download, plan, pull, snapshot_download
from orchestrator.api import raising
from orchestrator.api.models import settings_for
from orchestrator.api.raising import TWINS, twin
from orchestrator.app.services import Services
from orchestrator.errors import (
    FileAbsentError,
    GlmAriaError,
    Interrupted,
    NotCachedError,
    NotFoundError,
    PartialError,
    RepoAbsentError,
    UsageError,
    error_classes,
)
from orchestrator.events import Event, FileProgress, Phase
from orchestrator.pulling.report import FileState
from tests.api.conftest import FILES
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape

ALL = sum(map(len, FILES.values()))


def read(folder: str | Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_plan_then_pull_with_types(hub: LoopbackHub, tmp_path: Path) -> None:
    where: dict[str, Any] = {"root": hub.url, "cache_dir": tmp_path / "cache"}
    assert plan("org/m", include=["*.json", "sub/*"], **where).bytes_to_fetch == ALL - (3 << 20)
    assert not (tmp_path / "cache").exists()
    report = pull("org/m", "datasets/org/d", **where)
    assert [model.bytes_of(FileState.FETCHED) for model in report.models] == [ALL, 27]
    assert report.models[0].snapshot
    assert read(report.models[0].snapshot) == FILES
    assert plan("org/m", **where).jobs == ()


def test_a_model_that_fails_raises_its_error_after_the_others_are_done(hub: LoopbackHub, tmp_path: Path) -> None:
    where: dict[str, Any] = {"root": hub.url, "cache_dir": tmp_path / "cache"}
    with pytest.raises(RepoAbsentError):
        pull("org/none", "datasets/org/d", **where)
    bad, good = pull("org/none", "datasets/org/d", check=False, **where).models
    assert isinstance(bad.error, RepoAbsentError)
    assert good.error is None
    assert [file.state for file in good.files] == [FileState.ALREADY]
    with pytest.raises(FileAbsentError):
        plan("org/m", "nope.json", **where)
    with pytest.raises(UsageError, match="speed"):
        pull("org/m", speed=3, **where)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="max_speed"):
        pull("org/m", max_speed="fast", **where)


def test_several_at_once_from_threads_and_asyncio(hub: LoopbackHub, tmp_path: Path) -> None:
    """Two of the same model into one cache, two of others, and one into another cache."""
    calls = [("org/m", "a"), ("org/m", "a"), ("org/gated", "a"), ("org/m", "b")]

    def one(repo: str, name: str) -> str:
        token = "hf_of_the_tests" if repo == "org/gated" else False
        return snapshot_download(repo, cache_dir=tmp_path / name, endpoint=hub.url, token=token)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), Path.cwd()
    with ThreadPoolExecutor() as pool:
        found = [*pool.map(one, *zip(*calls, strict=True))]

    async def gather() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(one, repo, f"async-{name}") for repo, name in calls))

    for results in (found, asyncio.run(gather())):
        assert results[0] == results[1]
        assert [len(read(folder)) for folder in results] == [4, 4, 2, 4]
        assert read(results[3]) == FILES
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), Path.cwd())


def test_a_stop_from_another_thread_ends_it_and_the_next_goes_on(tmp_path: Path) -> None:
    big = Repo("model", "org/big", {"w.bin": generate(24 << 20, 3)})
    with LoopbackHub([big], cdn_shape=Shape(total_rate=8 << 20)) as hub:
        stop = Stop()

        def hear(event: Event) -> None:
            if isinstance(event, FileProgress) and event.phase is Phase.FETCHING and event.done:
                stop.set()

        where: dict[str, Any] = {"root": hub.url, "cache_dir": tmp_path / "cache"}
        with pytest.raises(Interrupted):
            pull("org/big", stop=stop, progress=hear, **where)
        hub.log.settle()
        first = hub.log.bytes_sent(face="cdn")
        assert 0 < first < 24 << 20
        pull("org/big", **where)
        hub.log.settle()
        assert hub.log.bytes_sent(face="cdn") < 1.3 * (24 << 20)


def test_a_call_that_is_stopped_is_no_run_of_the_command(tmp_path: Path) -> None:
    with LoopbackHub(
        [Repo("model", "org/big", {"w.bin": generate(24 << 20, 3)})], cdn_shape=Shape(total_rate=8 << 20)
    ) as hub:
        stop, asked = Stop(), Services(settings_for({"cache_dir": tmp_path / "cache"}))
        seen: list[object] = []

        def hear(event: Event) -> None:
            if isinstance(event, FileProgress) and event.phase is Phase.FETCHING and event.done:
                seen.append(asked.runs.known())
                stop.set()

        with pytest.raises(Interrupted):
            pull("org/big", stop=stop, progress=hear, root=hub.url, cache_dir=tmp_path / "cache")
    assert seen
    assert not any(seen)
    with pytest.raises(NotFoundError, match="nothing to resume"):
        asked.runs.resumable(None, tmp_path / "cache")


def test_an_exception_of_the_callers_function_ends_the_run_and_is_raised(hub: LoopbackHub, tmp_path: Path) -> None:
    def hear(_event: Event) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        snapshot_download("org/m", cache_dir=tmp_path, endpoint=hub.url, progress=hear)


def test_a_class_like_tqdm_counts_the_bytes(hub: LoopbackHub, tmp_path: Path) -> None:
    bars: list[Any] = []

    class Counter:
        def __init__(self, *, total: int, **_more: object) -> None:
            self.total, self.n, self.is_closed = total, 0, False
            bars.append(self)

        def update(self, count: int) -> None:
            self.n += count

        def close(self) -> None:
            self.is_closed = True

    snapshot_download("org/m", cache_dir=tmp_path, endpoint=hub.url, tqdm_class=Counter)
    assert [(bar.n, bar.total, bar.is_closed) for bar in bars] == [(ALL, ALL, True)]


def test_warnings_go_to_the_log_and_headers_are_refused(
    hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        snapshot_download("org/m", cache_dir=tmp_path, endpoint=hub.url, allow_patterns="*.none", progress=False)
    assert [record.name for record in caplog.records] == ["glm_aria"]
    with pytest.raises(ValueError, match="headers"):
        hf_hub_download("org/m", "a", headers={"X": "y"})


def test_a_stderr_without_a_number_is_fine(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs that draw on the whole terminal put in its place."""

    class Drawn(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return -1

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Drawn())
    assert Path(hf_hub_download("org/m", "config.json", cache_dir=tmp_path, endpoint=hub.url)).is_file()


def test_files_have_the_modes_of_the_umask(hub: LoopbackHub, tmp_path: Path) -> None:
    before = os.umask(0o037)
    try:
        found = hf_hub_download("org/m", "config.json", cache_dir=tmp_path, endpoint=hub.url)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(found).stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["python.md", "python.zh-CN.md"])
def test_the_guide_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Repo("model", "zai-org/AutoGLM-Phone-9B", FILES)
    phone.tag("v1.0")
    text = (Path(__file__).parents[2] / "docs" / "guides" / name).read_text("utf-8")
    programs = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(programs) == 4
    with LoopbackHub([phone]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        for program in programs:
            exec(compile(program, name, "exec"), {})


INTERRUPTED = """
import signal, sys
from orchestrator import pull
from orchestrator.events import FileProgress, Phase

def hear(event):
    if isinstance(event, FileProgress) and event.phase is Phase.FETCHING and event.done:
        print("moving", flush=True)

before = signal.getsignal(signal.SIGINT)
try:
    pull("org/big", root=sys.argv[1], cache_dir=sys.argv[2], progress=hear)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is before, flush=True)
"""


def test_a_keyboard_interrupt_leaves_it_to_be_gone_on_with(tmp_path: Path) -> None:
    big = Repo("model", "org/big", {"w.bin": generate(24 << 20, 3)})
    with LoopbackHub([big], cdn_shape=Shape(total_rate=8 << 20)) as hub:
        words = [sys.executable, "-c", INTERRUPTED, hub.url, str(tmp_path / "cache")]
        repository = Path(__file__).parents[2]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=repository) as process:
            assert process.stdout
            assert process.stdout.readline() == "moving\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.read().splitlines()[-1] == "interrupted True"
        assert process.returncode == 0
        pull("org/big", root=hub.url, cache_dir=tmp_path / "cache")
        hub.log.settle()
        assert hub.log.bytes_sent(face="cdn") < 1.3 * (24 << 20)


# -- errors


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_the_hint_of_every_error_is_in_its_traceback(kind: type[GlmAriaError]) -> None:
    error = Interrupted(2) if kind is Interrupted else kind("it broke", hint="mend it")
    for _ in range(2):
        with pytest.raises(kind) as caught, raising.raising():
            raise error
        assert caught.value.__notes__ == [f"hint: {error.hint}"]


@pytest.mark.parametrize("row", TWINS, ids=lambda row: row.kind.__name__)
def test_an_error_is_ours_and_theirs_and_travels_between_processes(row: raising.Twin) -> None:
    plain = row.kind("it broke", hint="mend it", file="a.bin", source="hub.example")
    made = twin(plain)
    names = [kind.__name__ for kind in type(made).__mro__]
    assert isinstance(made, row.kind)
    assert row.names[0] in names if row.names else isinstance(made, row.plain)
    assert (str(made), made.message, made.hint, made.file) == ("it broke", "it broke", "mend it", "a.bin")
    assert made.exit_code == plain.exit_code
    assert made.__notes__ == ["hint: mend it"]
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.hint) == (type(made), "it broke", "mend it")
    assert twin(made) is made
    assert type(made) not in error_classes(), "a twin is no kind of its own"
    if row.status:
        assert vars(made)["response"].status_code == row.status


def test_without_huggingface_hub_errors_are_those_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raising, "_their_errors", lambda: None)
    assert isinstance(twin(NotCachedError("x")), FileNotFoundError)
    assert isinstance(twin(RepoAbsentError("x")), OSError)
    assert isinstance(twin(UsageError("x")), ValueError)
    assert twin(bare := GlmAriaError("x")) is bare
    assert isinstance(twin(PartialError("x"), "DryRunError"), OSError)


def test_the_package_loads_its_functions_when_they_are_asked_for() -> None:
    program = """
import sys, orchestrator
assert not [name for name in sys.modules if name.startswith("orchestrator.") and name != "orchestrator._version"]
assert {"pull", "plan", "snapshot_download", "hf_hub_download", "Stop"} < set(dir(orchestrator))
from orchestrator import pull, snapshot_download
import orchestrator.app.services
assert callable(orchestrator.pull)
heavy = {"aria2p", "huggingface_hub", "rich", "tqdm"} & set(sys.modules)
assert not heavy, heavy
try:
    orchestrator.nothing
except AttributeError as error:
    assert "nothing" in str(error)
"""
    repository = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_first_word_of_the_call_is_running_in_the_callers_thread_or_not_at_all(hub: LoopbackHub) -> None:
    """An error before anything begins leaves no thread behind."""
    before = threading.active_count()
    with pytest.raises(ValueError, match="repo name"):
        snapshot_download("a/b/c", endpoint=hub.url)
    assert threading.active_count() == before


def test_a_notebook_without_tqdm_is_told_by_lines(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    asked: dict[str, Any] = {"endpoint": hub.url, "cache_dir": tmp_path / "cache"}
    snapshot_download("org/m", **asked)
    assert "to fetch" in capsys.readouterr().err
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    snapshot_download("org/m", force_download=True, **asked)
    assert capsys.readouterr().err == ""
