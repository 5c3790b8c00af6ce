"""The wheel: built from a clean checkout, it carries what the program needs and runs where there is no clone."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path, PurePath

import pytest


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, clone, cwd=dist)
    (built,) = dist.iterdir()
    return built


def test_wheel_carries_the_templates_and_nothing_of_the_tests(clone: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    templates = {path.relative_to(clone).as_posix() for path in (clone / "templates").rglob("*") if path.is_file()}
    assert templates, "templates/ is empty"
    assert {f"orchestrator/{name}" for name in templates} <= names
    assert {"orchestrator/templates/aria2.conf", "orchestrator/py.typed", "orchestrator/_version.py"} <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"orchestrator", "glm_aria"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for folder, place in (("man", "glm_aria-*.data/data/share/man"), ("docs/errors", "orchestrator/error_pages")):
        files = [path.relative_to(clone / folder) for path in (clone / folder).rglob("*") if path.is_file()]
        assert len(files) > 20
        assert all(any(PurePath(name).match(f"{place}/{file}") for name in names) for file in files)


def test_the_installed_command_needs_no_clone(wheel: Path, tmp_path: Path) -> None:
    environment, home = tmp_path / "environment", tmp_path / "home"
    home.mkdir()
    # Without a pip of its own: quicker, and Debian's Python may lack ensurepip.
    venv.create(environment, symlinks=True)
    python, command = environment / "bin" / "python", environment / "bin" / "glm-aria"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", wheel, cwd=home)

    # From here on nothing points back to the clone.
    bare = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    assert wheel.name.split("-")[1] in run(command, "--version", cwd=home, env=bare)
    assert "pull" in run(command, "--help", cwd=home, env=bare)
    assert run(command, "explain", "no-space", cwd=home, env=bare).startswith("# no-space\n")
    if shutil.which("man"):
        found = run("man", "-w", "glm-aria-pull", cwd=home, env=bare | {"PATH": f"{command.parent}:{bare['PATH']}"})
        assert Path(found.strip()).is_relative_to(environment)
    where = run(python, "-c", "import orchestrator; print(orchestrator.__file__)", cwd=home, env=bare)
    assert Path(where.strip()).is_relative_to(environment)
