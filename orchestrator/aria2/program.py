"""The aria2c that is installed: its version and what it was built with."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from orchestrator.aria2.daemon import find_aria2c, install_command
from orchestrator.errors import DaemonError

__all__ = ["Program", "install_command", "program"]


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
