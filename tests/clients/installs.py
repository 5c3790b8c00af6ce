"""Clients that are installed for the tests alone: each in an environment of its own, made once for a user.

An environment is made where it is first asked for, by whoever comes first; `python -m tests.clients` makes them all.
What it holds is pinned with its digests (`scripts/requirements/clients`, `node/package-lock.json`); another pin, or
another Python, is another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from platformdirs import user_cache_path

PINS = Path(__file__).parents[2] / "scripts" / "requirements" / "clients"
NODE = Path(__file__).parent / "node"
ENVIRONMENTS = tuple(sorted(path.stem for path in PINS.glob("*.txt")))
MOST_IDLE_S = 30 * 86400
"""What nobody has used for so long is removed when a new one is made."""


def python_of(environment: str, folder_of_pins: Path = PINS) -> Path:
    """The Python of an environment of this name, which is made if it is not there."""
    pins = folder_of_pins / f"{environment}.txt"

    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", "--without-pip", str(folder))
        pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check")
        # Python compiles the few modules that a client imports, in a third of the time that all of them take.
        run(*pip, "install", "--quiet", "--no-compile", "--require-hashes", "--requirement", str(pins))

    base = f"{sys.version} {sys.base_prefix}".encode()
    return made(environment, pins.read_bytes() + base, install) / "bin" / "python"


def node_modules(pins: Path = NODE) -> Path:
    """The folder with the packages for node that a package-lock.json names."""

    def install(folder: Path) -> None:
        folder.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pins / name, folder)
        run("npm", "ci", "--omit=optional", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)

    return made(pins.name, (pins / "package-lock.json").read_bytes(), install) / "node_modules"


def install_all() -> None:
    """Make what is not there yet."""
    for environment in ENVIRONMENTS:
        python_of(environment)
    node_modules()


def made(name: str, pins: bytes, install: Callable[[Path], None]) -> Path:
    """The folder of these pins, with what `install` puts there. One that was not finished is made anew."""
    home = user_cache_path("glm-aria-tests")
    home.mkdir(parents=True, exist_ok=True)
    folder = home / f"{name}-{hashlib.sha256(pins).hexdigest()[:12]}"
    whole = folder / "is-whole"
    if not whole.exists():
        with (home / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                _remove_idle(home)
                shutil.rmtree(folder, ignore_errors=True)
                install(folder)
                whole.touch()
    os.utime(whole)
    return folder


def _remove_idle(home: Path) -> None:
    for whole in home.glob("*/is-whole"):
        if time.time() - whole.stat().st_mtime > MOST_IDLE_S:
            shutil.rmtree(whole.parent, ignore_errors=True)


def run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command that installs something, or fail with what it said."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed\n{done.stdout}\n{done.stderr}"
