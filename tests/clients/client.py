"""A client of a Hub as its users run it: a process that gets a repository into a home, and what it left there."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from tests.hub.repos import Commit, Repo

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")


class Protocol(StrEnum):
    """What an endpoint has to speak."""

    HUB = "hub"
    MODELSCOPE = "modelscope"


@dataclass(frozen=True, slots=True)
class Download:
    """What to get, from which endpoint, into which home. An empty home is a user who has never run a client.

    A second download into the same home is what that user does next: the client finds what it left there.
    """

    endpoint: str
    repo: Repo
    home: Path
    revision: str = "main"
    token: str | None = None

    @property
    def commit(self) -> Commit:
        found = self.repo.resolve(self.revision)
        assert found is not None, f"{self.repo.name} has no {self.revision}"
        return found

    @property
    def out(self) -> Path:
        """The folder for clients that have no cache."""
        return self.home / "out"

    @property
    def cache(self) -> Path:
        return self.home / "hf" / "hub"

    def url(self, path: str) -> str:
        """Where a browser would get a file."""
        kind = "" if self.repo.repo_type == "model" else f"{self.repo.repo_type}s/"
        return f"{self.endpoint}/{kind}{self.repo.name}/resolve/{quote(self.revision, safe='')}/{quote(path)}"

    def env(self) -> dict[str, str]:
        """The variables of a user who has set the endpoint, and nothing else that counts."""
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        token = {"HF_TOKEN": self.token, "MODELSCOPE_API_TOKEN": self.token} if self.token else {}
        return kept | {
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "MODELSCOPE_ENDPOINT": self.endpoint,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "NO_COLOR": "1",
            "NO_PROXY": "*",
            "PYTHONUTF8": "1",
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            **token,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a client ended, and the SHA-256 of what it shows its user, by the file's path in the repository."""

    returncode: int
    files: Mapping[str, str]
    output: str


Commands = Callable[[Download], Sequence[Sequence[str]]]
"""What to run, one command after another, each only if the one before has ended well. May write into the home."""

Found = Callable[[Download, str], Mapping[str, str]]
"""What the client has left, from the home and from its standard output."""


def in_folder(download: Download, output: str) -> Mapping[str, str]:
    """What lies in the folder `out`, hidden files and what aria2c notes beside a file left out."""
    return hashes(download.out)


def in_cache(download: Download, output: str) -> Mapping[str, str]:
    """What the snapshot of the commit holds in a Hugging Face cache."""
    name = f"{download.repo.repo_type}s--{download.repo.name.replace('/', '--')}"
    return hashes(download.cache / name / "snapshots" / download.commit.oid)


def hashes(folder: Path) -> Mapping[str, str]:
    """The SHA-256 of each file below a folder; links are followed, and one that leads nowhere is no file.

    What clients note there for themselves is left out, also what a killed one left of it (modelscope's `tmp….tmp`).
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_noted = path.suffix in (".aria2", ".tmp") or inside.parts[0] in (
            ".cache",
            ".git",
            ".msc",
            ".mv",
            "._____temp",
        )
        if path.is_file() and not is_noted:
            with path.open("rb") as opened:
                found[str(inside)] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


@dataclass(frozen=True, slots=True)
class Client:
    """One row of the table. `wants` are globs of the files that it gets out of a repository.

    One that cannot repeat ends with an error where nothing is left to get of a file: curl sees a range refused (416).
    `says_failure` is what one prints that ends with exit code 0 although files failed.
    """

    name: str
    commands: Commands
    found: Found = in_cache
    wants: tuple[str, ...] = ("*",)
    speaks: Protocol = Protocol.HUB
    can_repeat: bool = True
    says_failure: str = ""
    more_env: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def start(self, download: Download) -> Running:
        """Start it, in a process group of its own."""
        download.out.mkdir(parents=True, exist_ok=True)
        (download.home / "run").mkdir(mode=0o700, exist_ok=True)
        line = " && ".join(shlex.join(command) for command in self.commands(download))
        process = subprocess.Popen(
            ["sh", "-c", line],
            env={**download.env(), **self.more_env},
            cwd=download.out,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return Running(self, download, process)

    def run(self, download: Download, timeout_s: float = 120, *, may_try_on: bool = False) -> Outcome:
        """Run it to its end. With `may_try_on` one that has not given up by then is killed, as its user would do."""
        return self.start(download).end(timeout_s, may_try_on=may_try_on)


@dataclass(frozen=True, slots=True)
class Running:
    """A client that was started."""

    client: Client
    download: Download
    process: subprocess.Popen[str]

    def end(self, timeout_s: float = 120, *, may_try_on: bool = False) -> Outcome:
        """Wait for it; one that takes longer is killed, and unless it `may_try_on` the test fails."""
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            killed = self.kill()
            if may_try_on:
                return killed
            raise AssertionError(f"{self.client} did not end in {timeout_s:g} s\n{killed.output}") from None
        return Outcome(self.process.returncode, self.client.found(self.download, out), out + err)

    def kill(self) -> Outcome:
        """Kill it and all that it has started, as a power cut would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        out, err = self.process.communicate(timeout=10)
        return Outcome(self.process.returncode, self.client.found(self.download, out), out + err)
