"""A user's machine in a folder: a home, a cache, a runtime folder, a token, and the command run as a subprocess."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.machine.documents import check_document
from tests.machine.preloaded import Child, close_streams, start

REPOSITORY = Path(__file__).parents[2]
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT", "COVERAGE_PROCESS_CONFIG")


@dataclass(frozen=True)
class Result:
    """A command that ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    @cached_property
    def document(self) -> Any:
        """The JSON document on stdout, after it was held against the contract."""
        found = json.loads(self.out)
        check_document(found, self.code)
        assert "\x1b" not in self.err
        return found

    @property
    def model(self) -> Any:
        """The only model of the document."""
        (model,) = self.document["data"]["models"]
        return model

    @property
    def warnings(self) -> list[str]:
        return [warning["code"] for warning in self.document["warnings"]]

    @property
    def error(self) -> Any:
        """The only error of the document."""
        (error,) = self.document["errors"]
        return error

    def ended(self, code: int) -> Result:
        """Assert the exit code; show all of the output when it is another."""
        assert self.code == code, f"{' '.join(self.words)} -> {self.code}\n{self.out}\n{self.err}"
        return self


class Running:
    """A command that was started and has not been waited for."""

    def __init__(self, machine: Machine, words: Sequence[str], process: subprocess.Popen[str] | Child) -> None:
        self._machine, self._words, self.process = machine, tuple(words), process

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, timeout_s: float = 60) -> Result:
        """Wait for it."""
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate(timeout=10)
            raise AssertionError(f"{self._words} did not end\n{out}\n{err}") from None
        result = Result(self._words, self.process.wait(), out, err)
        self._machine.results.append(result)
        return result


@dataclass
class Machine:
    """Everything that a command may read or write lies in `folder`; nothing of the real user's leaks in."""

    folder: Path
    token: str
    root: str = ""
    """The address given as `--root` to `pull` and `plan`."""
    results: list[Result] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in (self.home, self.work, self.runtime, self.folder / "tmp", self.folder / "config"):
            path.mkdir(parents=True)
        self.runtime.chmod(0o700)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def hf_home(self) -> Path:
        return self.home / "hf"

    @property
    def cache(self) -> Path:
        return self.hf_home / "hub"

    @property
    def stage(self) -> Path:
        return self.hf_home / "glm-aria" / "stage"

    @property
    def runtime(self) -> Path:
        return self.folder / "run"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command, with the canary token."""
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return kept | {
            "HOME": str(self.home),
            "HF_HOME": str(self.hf_home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUTF8": "1",
            "HF_TOKEN": self.token,
        }

    def own_settings(self, text: str) -> Path:
        """Write the user's own settings file."""
        file = self.folder / "config" / "glm-aria" / "config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    def start(
        self,
        *words: str,
        env: Mapping[str, str | None] | None = None,
        under: Sequence[str] = (),
        fds: Sequence[int] = (),
        memory: int | None = None,
    ) -> Running:
        """Start `glm-aria WORDS`. In `env`, None takes a variable away.

        `under` are the words of a program that starts the command; it inherits the descriptors `fds`. Without it, the
        command is forked from a process that has loaded the program. `memory` bounds its address space, in bytes.
        """
        merged: dict[str, str | None] = {**self.env, **(env or {})}
        told = {name: value for name, value in merged.items() if value is not None}
        process = start(words, told, self.work, usual=self.env, under=under, fds=fds, memory=memory)
        running = Running(self, words, process)
        self.running.append(running)
        return running

    def run(
        self,
        *words: str,
        stdin: str = "",
        env: Mapping[str, str | None] | None = None,
        under: Sequence[str] = (),
        memory: int | None = None,
        timeout_s: float = 60,
    ) -> Result:
        """Run `glm-aria WORDS` to its end."""
        running = self.start(*words, env=env, under=under, memory=memory)
        if stdin:
            assert running.process.stdin
            running.process.stdin.write(stdin)
        return running.end(timeout_s)

    def pull(self, *words: str, **options: Any) -> Result:
        """`glm-aria pull --root HUB --json WORDS`."""
        return self.run("pull", "--root", self.root, "--json", *words, **options)

    def plan(self, *words: str, **options: Any) -> Result:
        """`glm-aria plan --root HUB --json WORDS`."""
        return self.run("plan", "--root", self.root, "--json", *words, **options)

    def start_pull(self, *words: str, **options: Any) -> Running:
        """Start `glm-aria pull --root HUB --json WORDS`."""
        return self.start("pull", "--root", self.root, "--json", *words, **options)

    def hf(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The real `hf` on the same cache, offline unless HF_ENDPOINT is given, without a token."""
        mode = {} if "HF_ENDPOINT" in env else {"HF_HUB_OFFLINE": "1"}
        extra = {"HF_TOKEN": "", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", "NO_COLOR": "1"}
        return subprocess.run(
            [Path(sys.executable).with_name("hf"), *words],
            env={**self.env, **extra, **mode, **env},
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def snapshot(self, repo: str, commit: str) -> Path:
        """The snapshot folder of a repo, as `model/org/name`, `dataset/…` or `space/…`."""
        kind, _, name = repo.partition("/")
        return self.cache / f"{kind}s--{name.replace('/', '--')}" / "snapshots" / commit

    def files(self) -> Iterator[Path]:
        """Every regular file on the machine."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path

    def aria2(self) -> list[int]:
        """The pids of the aria2c processes of this machine: by their configuration, or by the home of who began them.

        Its configuration lies elsewhere where a test sets another runtime folder.
        """
        pids = [int(process.name) for process in Path("/proc").iterdir() if process.name.isdecimal()]
        return [pid for pid in pids if "aria2c" in (line := cmdline(pid)) and self._began(pid, line)]

    def _began(self, pid: int, line: str) -> bool:
        is_aria2 = Path(line.partition("\0")[0]).name == "aria2c"
        return str(self.runtime) in line or (is_aria2 and f"HOME={self.home}" in environ(pid).split("\0"))

    def kill_running(self) -> None:
        """Kill the commands that a failed test did not wait for, and close the streams that no test read."""
        for running in self.running:
            process = running.process
            if process.poll() is None:
                process.kill()
                process.communicate(timeout=10)
            close_streams(process)

    def stop(self) -> None:
        """Kill all that was left running."""
        self.kill_running()
        for pid in self.aria2():
            os.kill(pid, signal.SIGKILL)

    def aria2_ended(self, timeout_s: float = 5) -> bool:
        """True once none of our aria2c runs; it notices the end of its owner within a second or so."""
        return until(lambda: not self.aria2(), timeout_s)


def cmdline(pid: int) -> str:
    """The arguments of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


def environ(pid: int) -> str:
    """The environment of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_text("utf-8", "replace")
    except OSError:
        return ""


def until(condition: Callable[[], bool], timeout_s: float = 10) -> bool:
    """Wait for something that sends no event; False when it did not come to be."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def content(folder: Path) -> dict[str, bytes]:
    """What a reader of a folder finds, by path; a `.cache` of huggingface_hub's own is left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != ".cache"
    }
