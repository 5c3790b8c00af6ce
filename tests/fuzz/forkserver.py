"""Runs the command in forks of one process that has loaded the program, so that thousands of runs are affordable.

Run as `python -m tests.fuzz.forkserver`: one JSON request a line on stdin, one exit code a line on stdout. Each run is
a process of its own with an environment, a working directory and streams of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import orchestrator

_MEMORY = 2 << 30
"""Bytes of address space: whoever reads an endless file into memory fails soon."""
HUNG = -1000
"""The exit code of a run that had to be ended."""


class ForkServer:
    """A context manager around such a process. Not for several threads."""

    def __enter__(self) -> ForkServer:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.forkserver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(10)

    def run(self, words: Sequence[str], env: Mapping[str, str], cwd: Path, out: Path, seconds: float) -> int:
        """Run `glm-aria words`; both streams go to the file `out`. Returns the exit code, negative for a signal."""
        request = {"words": [*words], "env": {**env}, "cwd": str(cwd), "out": str(out), "seconds": seconds}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _load() -> None:
    """Import all of the program. Imports start no thread, or a fork would be unsafe."""
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("aria2p", "jinja2", "redis", "rich.progress", "rich.table", "watchdog.observers"):
        importlib.import_module(name)
    assert threading.active_count() == 1


def _child(words: Sequence[str], env: Mapping[str, str], cwd: str, out: str) -> None:
    from orchestrator.cli.main import program

    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    streams = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.dup2(streams, 1)
    os.dup2(streams, 2)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["glm-aria", *words]
    program()


def _ended(seconds: float, pid: int) -> bool:
    """Wait until the child has ended; false when it runs on."""
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        # A signal may be left from the child before.
        if signal.sigtimedwait((signal.SIGCHLD,), max(0.0, deadline - time.monotonic())) is None:
            return False
    return True


def _serve() -> None:
    _load()
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _child(request["words"], request["env"], request["cwd"], request["out"])
            finally:
                os._exit(70)
        hung = not _ended(request["seconds"], pid)
        if hung:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        print(HUNG if hung else os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
