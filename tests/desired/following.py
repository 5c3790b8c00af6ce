"""A follower as a command, what its readers see, and the repositories that it follows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.lists.lockfile import parse_lock
from tests.hub.content import generate
from tests.hub.repos import Repo
from tests.machine.fixtures import wanted
from tests.machine.machine import Machine, Result, Running, until
from tests.servers.ports import free_port, wait_for_port

A, B, C = (f"org/{name}" for name in "abc")
WAIT = 30.0
"""Seconds for what a follower is expected to have done; most of it takes two."""


def small(name: str, number: int = 1) -> Repo:
    return Repo("model", name, {"config.json": b'{"n": %d}' % number, "w.safetensors": generate(100_000, number)})


class Site:
    """A follower of one set, started again and again on the same machine."""

    def __init__(self, machine: Machine, *words: str, name: str = "site") -> None:
        self.machine, self.words, self.name = machine, words, name
        self.sets = machine.hf_home / "sets" / name
        self.running: Running | None = None

    def start(self, *more: str, env: Mapping[str, str | None] | None = None) -> Running:
        words = ("--interval", "1s", "--root", self.machine.root, "--json", "--progress", "none")
        # What the one before said last is not what this one says.
        (self.sets / "status.json").unlink(missing_ok=True)
        self.running = self.machine.start("node", *words, *self.words, *more, env=env)
        return self.running

    def once(self, *more: str) -> Result:
        """Follow once."""
        self.start("--once", *more)
        return self.end()

    def end(self) -> Result:
        assert self.running is not None
        running, self.running = self.running, None
        return running.end()

    def stop(self, code: int = 143) -> Any:
        """Stop it in good order; its document."""
        assert self.running is not None
        self.running.signal(signal.SIGTERM)
        return self.end().ended(code).document

    def kill(self) -> None:
        if self.running is not None:
            self.running.signal(signal.SIGKILL)
            self.end()

    @property
    def status(self) -> Any:
        """What its file says; empty before there is one."""
        try:
            return json.loads((self.sets / "status.json").read_text())
        except FileNotFoundError:
            return {"phase": None, "models": [], "sources": [], "generation": 0, "observed_generation": 0}

    def becomes(self, condition: Callable[[Any], bool], timeout_s: float = WAIT) -> Any:
        assert until(lambda: condition(self.status), timeout_s), json.dumps(self.status, indent=1)
        return self.status

    def is_ready(self, generation: int | None = None) -> Any:
        return self.becomes(
            lambda status: (
                status["phase"] == "ready"
                and status["generation"] == status["observed_generation"]
                and generation in (None, status["generation"])
            )
        )

    @property
    def current(self) -> str | None:
        """The folder that readers are led to."""
        try:
            return str((self.sets / "current").readlink())
        except FileNotFoundError:
            return None

    def seen(self) -> dict[str, bytes] | None:
        """All that a reader finds in the set of this moment, each byte as the lock of that set says; None without one.

        A reader opens `current` once, and the rest from there. Raises FileNotFoundError for half a set, AssertionError
        for a wrong byte.
        """
        if (name := self.current) is None:
            return None
        folder = self.sets / name
        try:
            lock = parse_lock((folder / "set.lock").read_text(), "set.lock")
            info = json.loads((folder / "set.json").read_text())
            by_ref = {str(model.ref): model for model in lock.models}
            found = {}
            for model in info["models"]:
                for file in by_ref[model["ref"]].files:
                    path = f"{model['name']}/{file.path}"
                    found[path] = (folder / "models" / path).read_bytes()
                    assert _sha256(found[path]) == file.sha256, f"a reader saw wrong bytes of {path}"
        except FileNotFoundError:
            if self.current == name:
                raise
            return self.seen()  # it was pruned while it was read
        return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def expected(*repos: Repo, names: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """What a reader must find of these repos at their heads."""
    found: dict[str, bytes] = {}
    for repo in repos:
        name = (names or {}).get(repo.name, repo.name)
        found |= {f"{name}/{path}": content for path, content in wanted(repo).items()}
    return found


class GitRepository:
    """A bare repository and a clone to commit in, as a user has them."""

    def __init__(self, folder: Path, name: str = "fleet") -> None:
        self.bare = folder / f"{name}.git"
        self.clone = folder / f"{name}-clone"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@test",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@test",
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), at=folder)
        self.git("clone", "-q", str(self.bare), str(self.clone), at=folder)
        self.git("checkout", "-q", "-B", "main")

    def git(self, *words: str, at: Path | None = None) -> str:
        ended = subprocess.run(
            ["git", *words], cwd=at or self.clone, env=self.env, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (words, ended.stderr)
        return ended.stdout.strip()

    def commit(self, files: Mapping[str, str], *words: str, force: bool = False) -> str:
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x", *words)
        self.git("push", "-q", *(["--force"] if force else []), "origin", "main")
        return self.git("rev-parse", "HEAD")


@contextmanager
def git_daemon(folder: Path, port: int | None = None) -> Iterator[GitDaemon]:
    daemon = GitDaemon(folder, port or free_port())
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


class GitDaemon:
    """The real `git daemon` on a port of loopback; it may be stopped and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"git+git://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["git", "daemon", "--reuseaddr", "--export-all", f"--base-path={self.folder}", "--listen=127.0.0.1",
             f"--port={self.port}", str(self.folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        if self.process is not None:
            # `git daemon` is a child of `git`.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def swap(folder: Path, files: Mapping[str, str]) -> None:
    """Exchange the files of a mounted ConfigMap as the kubelet does: a new folder, and one rename of `..data`."""
    made = folder / f"..{time.monotonic_ns()}"
    made.mkdir(parents=True)
    for name, text in files.items():
        (made / name).write_text(text)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(made.name)
    old = (folder / "..data").readlink() if (folder / "..data").is_symlink() else None
    fresh.replace(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(folder / old)
