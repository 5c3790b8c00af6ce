"""What a node tells of a task, pull by pull."""

from types import SimpleNamespace
from typing import Any

from orchestrator.app.fleet.led import TaskProgress
from orchestrator.core.files import Digest, RepoFile
from orchestrator.events import SourceRates, ignore
from orchestrator.pulling.report import FileReport, FileState, ModelReport, PullReport
from orchestrator.swarm.control.messages import NodePhase, TaskReport

FILE = RepoFile("a.bin", 900, Digest.parse(f"sha256:{'ab' * 32}"), is_lfs=True)


def test_what_came_by_an_earlier_pull_of_a_task_counts_further() -> None:
    said: list[TaskReport] = []
    node: Any = SimpleNamespace(company=SimpleNamespace(worker=SimpleNamespace(report=said.append)))
    progress = TaskProgress("t1", node, ignore)
    progress.begin()
    progress.take(SourceRates((), (("hub", 300), ("peer:n2", 100))))
    progress.begin()
    progress.take(SourceRates((), (("hub", 400), ("peer:n2", 50))))
    progress.end(PullReport((ModelReport("org/name", files=(FileReport(FILE, FileState.FETCHED),)),)))
    whole = TaskReport("t1", NodePhase.PLACED, "", 900, 700, 150, {"n2": 150})
    assert said[-1] == whole
    progress.begin()
    progress.end(PullReport((ModelReport("org/name", files=(FileReport(FILE, FileState.ALREADY),)),)))
    assert said[-1] == whole


def test_what_came_for_the_lock_of_a_task_counts() -> None:
    said: list[TaskReport] = []
    node: Any = SimpleNamespace(company=SimpleNamespace(worker=SimpleNamespace(report=said.append)))
    progress = TaskProgress("t1", node, ignore, {"hub": 60})
    progress.begin()
    assert said[-1].from_origin == 60
    progress.take(SourceRates((), (("hub", 300),)))
    assert said[-1].from_origin == 360
