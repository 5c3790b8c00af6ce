"""Commands as forks of one process that has loaded the program: a start takes milliseconds instead of 0.3 s of a core.

What runs is the real command: a process of its own in a session of its own, with its arguments, environment, working
directory, umask and streams, that `runpy` runs as `python -m orchestrator.cli.main` does and that ends by itself. Only
what Python reads before it runs any code (`PYTHON*`, the locale) is that of the process it was forked from, and so are
`/proc/PID/cmdline` and `environ`: `Preloaded.serves` tells who must be started anew.

Run as `python -m tests.machine.preloaded FD`: a request is one packet with its streams, and a pipe into which the
command writes its pid once it runs, and its wait status follows.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import re
import resource
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

REPOSITORY = Path(__file__).parents[2]
_MODULE = "orchestrator.cli.main"
_READ_AT_START = re.compile(r"PYTHON\w+|LANG|LC_\w+|LD_\w+|LOCPATH|OPENSSL_\w+|GLIBC_\w+|MALLOC_\w+")
"""Variables that Python, or what it is made of, reads before the program runs."""
_LATE = ("aria2p", "jinja2", "jsonschema", "redis", "rich.progress", "rich.table", "watchdog.observers")
"""What the program imports only when it needs it."""
PACKET = 1 << 20
"""Bytes of a request at most."""


def kept(env: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that is fixed once Python has started."""
    return {name: value for name, value in env.items() if _READ_AT_START.fullmatch(name)}


class Child:
    """A command that runs, with the part of `subprocess.Popen` that tests use. Text is UTF-8."""

    def __init__(self, told: int, streams: Sequence[int]) -> None:
        self._told = told
        self.pid: int = struct.unpack("i", _read(told, 4))[0]
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = (
            os.fdopen(stream, mode, encoding="utf-8", errors="surrogateescape")
            for stream, mode in zip(streams, "wrr", strict=True)
        )
        self._data: dict[IO[str], bytearray] = {self.stdout: bytearray(), self.stderr: bytearray()}

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._told, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(_MODULE, timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(struct.unpack("i", _read(self._told, 4))[0])
            os.close(self._told)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Close stdin, and read both streams to their end. Raises subprocess.TimeoutExpired; may be called again."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with suppress(BrokenPipeError):
            self.stdin.close()
        with selectors.DefaultSelector() as selector:
            for stream in (stream for stream in self._data if not stream.closed):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = selector.select(left)
                if not ready:
                    raise subprocess.TimeoutExpired(_MODULE, timeout or 0)
                for key, _ in ready:
                    stream = next(stream for stream in self._data if stream is key.fileobj)
                    if piece := os.read(key.fd, 1 << 16):
                        self._data[stream] += piece
                    else:
                        selector.unregister(stream)
                        stream.close()
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        out, err = (bytes(data).decode("utf-8", "surrogateescape") for data in self._data.values())
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        # Its pid is its own until the status was told, and that is read here first.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def close_streams(process: subprocess.Popen[str] | Child) -> None:
    """Close the pipes to a command that has ended, read or not."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


class Preloaded:
    """The process to fork from; it ends with this one, or at `close`. May be used from several threads."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Start it with what `env` says to Python itself."""
        self._kept = kept(env)
        self._socket, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET)
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.machine.preloaded", str(there.fileno())],
                env=self._kept,
                cwd=REPOSITORY,
                pass_fds=(there.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def serves(self, env: Mapping[str, str]) -> bool:
        """True if a command with this environment may be forked from it."""
        return kept(env) == self._kept

    def start(self, words: Sequence[str], env: Mapping[str, str], cwd: Path, *, memory: int | None = None) -> Child:
        """Start `glm-aria WORDS` with pipes at its streams; `memory` bounds its address space, in bytes."""
        request = {"words": [*words], "env": {**env}, "cwd": str(cwd), "umask": _umask(), "memory": memory}
        (stdin, our_in), (our_out, stdout), (our_err, stderr), (told, tells) = (os.pipe() for _ in range(4))
        self.take(json.dumps(request).encode(), [stdin, stdout, stderr, tells])
        return Child(told, (our_in, our_out, our_err))

    def take(self, request: bytes, fds: Sequence[int]) -> None:
        """Have a request done, whoever made it, with its streams and its pipe, which are closed here."""
        try:
            socket.send_fds(self._socket, [request], fds)
        finally:
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """End it; commands that run go on."""
        self._socket.close()
        self._process.wait(10)


def preloaded(env: Mapping[str, str]) -> Preloaded | None:
    """That of this process for commands with such an environment, made once.

    None where commands are to be started anew, or where there is no system call that it needs (all but Linux).
    """
    if os.environ.get("TEST_STARTS") == "anew" or not hasattr(os, "pidfd_open"):
        return None
    return _made(tuple(sorted(kept(env).items())))


def start(
    words: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    *,
    usual: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    fds: Sequence[int] = (),
    memory: int | None = None,
) -> subprocess.Popen[str] | Child:
    """Start `glm-aria WORDS` with pipes at its streams; as a fork, where the command cannot tell.

    `usual` is the environment that most of the commands have, to be forked from one process. `under` are the words of
    a program that starts the command; it inherits the descriptors `fds`. `memory` bounds its address space, in bytes.
    """
    loaded = None if under else preloaded(usual or env)
    if loaded is not None and loaded.serves(env):
        return loaded.start(words, env, cwd, memory=memory)
    limit = ("sh", "-c", f'ulimit -v {memory >> 10}; exec "$@"', "sh") if memory else ()
    return subprocess.Popen(
        [*limit, *under, sys.executable, "-m", _MODULE, *words],
        pass_fds=tuple(fds),
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        start_new_session=True,
    )


@cache
def _made(env: tuple[tuple[str, str], ...]) -> Preloaded:
    made = Preloaded(dict(env))
    atexit.register(made.close)
    return made


def _umask() -> int:
    # To ask the system call would change it for the other threads.
    found = re.search(r"^Umask:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1], 8)


def _read(fd: int, count: int) -> bytes:
    data = os.read(fd, count)
    assert len(data) == count, "the process to fork from is gone"
    return data


# -- inside of it


def _load() -> None:
    """Import all of the program but the module that is run. Imports start no thread, or a fork would be unsafe."""
    import orchestrator

    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if module.name != _MODULE and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1
    assert _MODULE not in sys.modules
    assert tempfile.tempdir is None, "the folder for temporary files was looked for before the command's own settings"
    # What is collected no more is shared with the forks.
    gc.collect()
    gc.freeze()


def _become(request: Mapping[str, object], streams: Sequence[int], tells: int) -> NoReturn:
    """Be the command, to its end."""
    os.setsid()
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    os.closerange(3, tells)
    os.closerange(tells + 1, 1 << 16)
    words, env, memory = request["words"], request["env"], request["memory"]
    assert isinstance(words, list)
    assert isinstance(env, dict)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(request["cwd"]))
    os.umask(int(str(request["umask"])))
    time.tzset()
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (int(str(memory)),) * 2)
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.path[0] = str(request["cwd"])
    sys.argv = [_MODULE, *words]
    # From here on it is the command, which may be sent signals.
    os.write(tells, struct.pack("i", os.getpid()))
    os.close(tells)
    runpy.run_module(_MODULE, run_name="__main__", alter_sys=True)
    raise AssertionError("the command did not end the process")


def _serve(requests: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not requests:
                (pid, tells), ended = key.data, key.fd
                _, status = os.waitpid(pid, 0)
                selector.unregister(ended)
                os.close(ended)
                with suppress(BrokenPipeError):
                    os.write(tells, struct.pack("i", status))
                os.close(tells)
                continue
            data, fds, _, _ = socket.recv_fds(requests, PACKET, 4)
            if not data:
                return
            pid = os.fork()
            if pid == 0:
                _become(json.loads(data), fds[:3], fds[3])
            for fd in fds[:3]:
                os.close(fd)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fds[3]))


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
