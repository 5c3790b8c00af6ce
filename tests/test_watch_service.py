"""The unit of systemd for `watch`: as the real systemd reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.main import main

LIST = '/srv/my models/%n $HOME "x" \\y.txt'


def test_systemd_takes_it(tmp_path: Path) -> None:
    unit = tmp_path / "glm-aria-watch.service"
    given = ["--set", f"list={LIST}", "--set", f"program={sys.executable}"]
    assert main(["render", unit.name, *given, "-o", str(unit)]) == 0
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    quoted = '"/srv/my models/%%n $$HOME \\"x\\" \\\\y.txt"'
    assert line == f'ExecStart="{sys.executable}" watch {quoted} --interval 5m --progress none'
    if shutil.which("systemd-analyze"):
        run = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")


def test_without_a_list_it_is_one_of_the_users_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["render", "glm-aria-watch.service", "--set", "interval=1h"]) == 0
    line = "ExecStart=%h/.local/bin/glm-aria watch %h/.config/glm-aria/models.txt --interval 1h --progress none"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", ["models.txt", "/srv/models\n[Service]\nExecStart=/bin/sh"])
def test_what_is_no_path_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "glm-aria-watch.service", "--set", f"list={name}"]) == 2
    assert "absolute path" in capsys.readouterr().err
