"""The machine and the hub of tests/e2e, and the calls of a command, recorded once for all workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest
from filelock import FileLock

from tests.crash.scenarios import Stage
from tests.crash.supervisor import Call
from tests.crash.trial import record
from tests.machine.fixtures import MakeHub, _no_proxies, machine, make_hub

__all__ = ["MakeHub", "_no_proxies", "machine", "make_hub"]

Recorded = Callable[[str, Stage, Path], list[Call]]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, is_long: bool, worker_id: str) -> Recorded:
    """All calls of a scenario's command, by its name: of one run, or in the long form of three, whichever had more."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def of(name: str, stage: Stage, folder: Path) -> list[Call]:
        file = shared / f"calls-{name}.json"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                runs = [record(stage, folder / f"record-{run}") for run in range(3 if is_long else 1)]
                calls = sorted({call for run in runs for call in run})
                file.write_text(json.dumps([astuple(call) for call in calls]))
            return [Call(*entry) for entry in json.loads(file.read_text())]

    return of
