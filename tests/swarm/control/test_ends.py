"""The end of a scheduler's work by a bug is seen by whoever looks after its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.swarm.control.scheduling.core import SchedulerCore
from tests.swarm.control.processes import KEY


def test_a_bug_ends_the_process_of_a_scheduler_with_70(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("GLM_ARIA_FLEET_KEY", KEY)
    turns = iter(range(3))
    propose = SchedulerCore.propose

    def fail_late(core: SchedulerCore, now: float) -> Any:
        if next(turns, None) is None:
            raise OverflowError("int too large to convert to float")
        return propose(core, now)

    monkeypatch.setattr(SchedulerCore, "propose", fail_late)
    assert main(["scheduler", "--listen", "127.0.0.1:0"]) == 70
    said = capsys.readouterr().err
    assert "a bug ended the scheduler" in said
    assert "OverflowError" in said
    assert KEY not in said
