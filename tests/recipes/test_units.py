"""The units for systemd that may be those of a system, as the real systemd reads them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.cli.main import main

UNITS = {
    "glm-aria-serve.service": (("listen=10.0.0.5:8090",), "serve --listen 10.0.0.5:8090 --progress none"),
    "glm-aria-predict.service": ((), "predict train"),
    "glm-aria-scheduler.service": (("log=json",), "scheduler --listen 127.0.0.1:8091 --progress json"),
    "glm-aria-node.service": (
        ("scheduler=head-1:8091,head-2:8091",),
        "node --scheduler head-1:8091,head-2:8091 --progress lines",
    ),
    "glm-aria-node.service follow": (
        ("follow=/srv/a site/100%", "status=127.0.0.1:8093"),
        'node --follow "/srv/a site/100%%" --status-listen 127.0.0.1:8093 --progress lines',
    ),
}
EXPOSURE = 2.0
"""The exposure to which a unit of the system may come, as systemd counts it: 10 is a service without any bounds."""


def rendered(folder: Path, name: str, *given: str) -> Path:
    unit = folder / name
    words = [word for one in given for word in ("--set", one)]
    assert main(["render", name, *words, "-o", str(unit)]) == 0
    return unit


def analyze(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    return subprocess.run(
        ["systemd-analyze", "--man=no", *words], env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("scope", ["user", "system"])
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(name: str, scope: str, tmp_path: Path) -> None:
    given, command = UNITS[name]
    unit = rendered(tmp_path, name.partition(" ")[0], f"scope={scope}", "program=/bin/true", *given)
    text = unit.read_text()
    assert f'ExecStart="/bin/true" {command}\n' in text
    assert ("ProtectSystem=strict\n" in text) == (scope == "system")
    done = analyze(tmp_path, *(["--user"] if scope == "user" else []), "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in UNITS if " " not in name])
def test_a_unit_of_the_system_is_exposed_to_little(name: str, tmp_path: Path) -> None:
    unit = rendered(tmp_path, name, "scope=system", "program=/bin/true")
    done = analyze(tmp_path, "security", "--offline=yes", "--no-pager", unit)
    level = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) < EXPOSURE


@pytest.mark.parametrize("scope", ["user", "system"])
def test_systemd_takes_a_server_with_its_socket(scope: str, tmp_path: Path) -> None:
    server = rendered(tmp_path, "glm-aria-serve.service", f"scope={scope}", "program=/bin/true", "listen=fd://")
    opened = rendered(tmp_path, "glm-aria-serve.socket", f"scope={scope}", "listen=10.0.0.5:443")
    assert "Requires=glm-aria-serve.socket\n" in server.read_text()
    done = analyze(tmp_path, *(["--user"] if scope == "user" else []), "verify", server, opened)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("scope", ["user", "system"])
def test_systemd_takes_a_training_with_its_timer(scope: str, tmp_path: Path) -> None:
    training = rendered(tmp_path, "glm-aria-predict.service", f"scope={scope}", "program=/bin/true")
    timer = rendered(tmp_path, "glm-aria-predict.timer", f"scope={scope}")
    assert f"enable --now {timer.name}\n" in training.read_text()
    done = analyze(tmp_path, *(["--user"] if scope == "user" else []), "verify", training, timer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *(("glm-aria-serve.service", one) for one in ("scope=root", "listen=10.0.0.5", "user=a b", "folder=relative")),
        ("glm-aria-serve.service", "listen=a:1\nUser=x"),
        ("glm-aria-serve.service", "log=json --listen 0.0.0.0:1"),
        ("glm-aria-serve.socket", "listen=fd://"),
        ("glm-aria-predict.service", "log=json"),
        ("glm-aria-predict.timer", "scope=root"),
        ("glm-aria-scheduler.service", "listen=fd://"),
        ("glm-aria-node.service", "follow=--once"),
        ("glm-aria-node.service", "follow=/srv/a\nUser=x"),
        ("glm-aria-node.service", "status=8093"),
        ("glm-aria-node.service", "scheduler=head:8091,"),
        ("glm-aria-node.service", "scheduler=head:8091 --listen 0.0.0.0:1"),
    ],
)
def test_a_unit_holds_nothing_that_was_not_meant(name: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", name, "--set", given]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["common.service", "place.service", "sandbox.service"])
def test_a_part_of_units_is_none(name: str) -> None:
    assert main(["render", name]) == 66
