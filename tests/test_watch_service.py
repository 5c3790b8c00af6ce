"""The unit of systemd for `watch`: as the real systemd reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from orchestrator import templating

LIST = '/srv/my models/%n $HOME "x" \\y.txt'


def test_systemd_takes_it(tmp_path: Path) -> None:
    unit = tmp_path / "glm-aria-watch.service"
    unit.write_text(templating.render("glm-aria-watch.service", list=LIST, program=sys.executable))
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    quoted = '"/srv/my models/%%n $$HOME \\"x\\" \\\\y.txt"'
    assert line == f'ExecStart="{sys.executable}" watch {quoted} --interval 5m --progress none'
    if shutil.which("systemd-analyze"):
        run = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")


def test_without_a_program_it_is_the_users_own() -> None:
    text = templating.render("glm-aria-watch.service", list="/l", interval="1h")
    assert 'ExecStart=%h/.local/bin/glm-aria watch "/l" --interval 1h --progress none' in text
