"""The aria2c that is installed: where it is, its version, and what it was built with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import DaemonError


@dataclass(frozen=True, slots=True)
class Program:
    """`features` as `aria2c --version` names them: `Async DNS`, `HTTPS`, …"""

    version: str
    features: tuple[str, ...] = ()


def program() -> Program | None:
    """None when there is none that runs."""
    try:
        words = [str(find_aria2c()), "--version"]
        text = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False).stdout
    except (DaemonError, OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"aria2 version (\S+)", text)
    features = re.search(r"Enabled Features: (.*)", text)
    return Program(version[1], tuple(features[1].split(", ")) if features else ()) if version else None


def find_aria2c() -> Path:
    """The aria2c on PATH. Raises DaemonError with the command that installs it on this system."""
    found = shutil.which("aria2c")
    if found is not None:
        return Path(found)
    closed = [place for place in os.get_exec_path() if os.path.isfile(f"{place}/aria2c")]  # noqa: PTH113 - never raises
    if closed:
        path = f"{closed[0]}/aria2c"
        raise DaemonError(f"{path!r} is not an executable file", hint=f"chmod +x it, or {install_command()}")
    raise DaemonError("aria2c is not installed", hint=f"install it: {install_command()}")


def install_command() -> str:
    """The command that installs aria2 on this system."""
    if sys.platform == "darwin":
        return "brew install aria2"
    commands = {
        "apt-get": "sudo apt-get install aria2",
        "dnf": "sudo dnf install aria2",
        "pacman": "sudo pacman -S aria2",
        "apk": "sudo apk add aria2",
        "conda": "conda install -c conda-forge aria2",
    }
    return next((text for program, text in commands.items() if shutil.which(program)), "see https://aria2.github.io")
