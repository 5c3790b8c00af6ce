"""Sees every file-changing system call of a command and of all that it starts, in one order, and can end it there.

strace counts `when=` for each thread by itself, so it cannot name "the second write of anyone to this journal". Here a
call has a name that stays the same from run to run: who makes it, which call, on which file, for the how-many-th time.
See docs/decisions/0020-crash-points-by-name.md.
"""

# The links of /proc are no paths: what stands behind them is text.
# ruff: noqa: PTH115
from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.seccomp import AT_FDCWD, CALLS, Shape, number

_NAMES = {nr: (name, entry[2]) for name, entry in CALLS.items() if (nr := number(entry)) is not None}
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
# Names that are new in each run: scratch files, folders of a run. Digests (40 or 64 digits) stay as they are.
_RANDOM = re.compile(
    r"(?P<kept>run-|scratch-|no-such-file-|/#)[\w.-]*\d[\w.-]*|(?<![0-9a-f])[0-9a-f]{8,32}(?![0-9a-f])"
)
# A path into a folder that is held open.
_HELD = re.compile(r"/proc/(self|\d+)/fd/(\d+)(/.*)", re.DOTALL)
TAKES_ROOM = frozenset(
    [
        "open",
        "openat",
        "creat",
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "mkdir",
        "mkdirat",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "fallocate",
        "copy_file_range",
        "sendfile",
        "ftruncate",
    ]
)
"""The calls that fail on a full disk."""


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """A system call by a name that is the same in every run of the same command."""

    role: str
    """`python` or `aria2c`."""
    name: str
    path: str
    """The file that it changes, below the machine's folder; what is random in it is a `*`."""
    nth: int = 1
    """The how-many-th of this role, name and path."""

    def __str__(self) -> str:
        return f"{self.role} {self.name} {self.path} #{self.nth}"


@dataclass(slots=True)
class Injection:
    """What to do at a call: `number` is an errno, or None for SIGKILL.

    `everyone`: kill all processes of the command, else only the one that calls. `lasting`: from there on, every call
    that takes room fails.
    """

    at: Call
    number: int | None = None
    everyone: bool = False
    lasting: bool = False
    paths: tuple[str, ...] = ()
    """Set when it happened: the files concerned, as they were really named."""

    @property
    def happened(self) -> bool:
        return bool(self.paths)

    def __str__(self) -> str:
        what = "SIGKILL" if self.number is None else errno.errorcode[self.number]
        return f"{what}{' of all' if self.everyone else ''}{' from here on' if self.lasting else ''} at {self.at}"


@dataclass
class Supervisor:
    """Watches one command below `folder`. Start the command with `under` and `fds`, then call `watch`."""

    folder: Path
    injection: Injection | None = None
    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self.error: BaseException | None = None

    @property
    def under(self) -> Sequence[str]:
        """The words to put before the command."""
        script = Path(__file__).with_name("seccomp.py")
        return (sys.executable, "-I", "-S", str(script), "watch", str(self._there.fileno()), "--")

    @property
    def fds(self) -> tuple[int, ...]:
        """Descriptors that the command must inherit."""
        return (self._there.fileno(),)

    def watch(self) -> None:
        """The command was started: answer its calls until none of its processes is left."""
        self._there.close()
        self._thread.start()

    def close(self) -> None:
        """Wait until all processes of the command have ended. Raises what went wrong in here, if anything did."""
        self._thread.join(20)
        assert not self._thread.is_alive(), "a process of the command outlived it"
        if self.error is not None:
            raise self.error

    def seen(self) -> list[Call]:
        """Every call so far, the how-many-th of its kind each."""
        return sorted(Call(*key, nth) for key, count in self.calls.items() for nth in range(1, count + 1))

    # -- inside

    def _run(self) -> None:
        try:
            with self._here:
                _, fds, _, _ = socket.recv_fds(self._here, 1, 1)
            if not fds:
                raise OSError("the kernel refused the filter: is seccomp(2) forbidden here?")
            try:
                self._answer(fds[0])
            finally:
                os.close(fds[0])
        except BaseException as error:
            self.error = error

    def _answer(self, listener: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while True:
            for _, event in poll.poll():
                if not event & select.POLLIN:
                    return
                request = bytearray(80)
                try:
                    fcntl.ioctl(listener, _RECEIVE, request)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.EINTR):
                        continue
                    raise
                ident, tid, _, nr, _, _, *arguments = struct.unpack("QIIiIQ6Q", request)
                failure = self._judge(tid, nr, arguments)
                flags = _CONTINUE if failure == 0 else 0
                try:
                    fcntl.ioctl(listener, _SEND, bytearray(struct.pack("QqiI", ident, 0, -failure, flags)))
                except OSError as error:
                    if error.errno != errno.ENOENT:  # the caller was killed
                        raise

    def _judge(self, tid: int, nr: int, arguments: list[int]) -> int:
        """0 to let the call pass, else the errno that it fails with."""
        name, shape = _NAMES[nr]
        try:
            paths = _paths(tid, shape, arguments)
            role = "aria2c" if os.readlink(f"/proc/{tid}/exe").endswith("aria2c") else "python"
            pid = _process(tid)
        except OSError:  # the caller was killed
            return 0
        inside = [path for path in paths if path.startswith(f"{self.folder}/")]
        if not inside:
            return 0
        path = _RANDOM.sub(lambda found: f"{found['kept'] or ''}*", inside[0])
        key = (role, name, path.removeprefix(f"{self.folder}/"))
        self.calls[key] += 1
        self._pids.add(pid)
        plan = self.injection
        if plan is None:
            return 0
        if plan.happened:
            return plan.number or 0 if plan.lasting and name in TAKES_ROOM else 0
        if Call(*key, self.calls[key]) != plan.at:
            return 0
        plan.paths = tuple(inside)
        if plan.number is None:
            for victim in self._pids if plan.everyone else (pid,):
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        return plan.number or 0


def _paths(tid: int, shape: Shape, arguments: list[int]) -> list[str]:
    """The file that the call changes, then the other name of a rename or link."""
    if shape.fd is not None:
        return [os.readlink(f"/proc/{tid}/fd/{arguments[shape.fd]}").removesuffix(" (deleted)")]
    return [_path(tid, where, arguments) for where in (shape.path, shape.source) if where]


def _path(tid: int, where: tuple[int | None, int], arguments: list[int]) -> str:
    text = _text(tid, arguments[where[1]])
    if held := _HELD.match(text):
        return os.path.normpath(os.readlink(f"/proc/{tid if held[1] == 'self' else held[1]}/fd/{held[2]}") + held[3])
    if text.startswith("/"):
        return os.path.normpath(text)
    folder = AT_FDCWD if where[0] is None else struct.unpack("i", struct.pack("I", arguments[where[0]] & 0xFFFFFFFF))[0]
    base = os.readlink(f"/proc/{tid}/cwd" if folder == AT_FDCWD else f"/proc/{tid}/fd/{folder}")
    return os.path.normpath(f"{base}/{text}")


def _text(tid: int, address: int) -> str:
    """The string at an address of the caller, which waits for us meanwhile."""
    with Path(f"/proc/{tid}/mem").open("rb", buffering=0) as memory:
        data = b""
        while b"\0" not in data:
            memory.seek(address + len(data))
            # Up to the end of the page: the next one may not exist.
            piece = memory.read(4096 - (address + len(data)) % 4096)
            if not piece:
                break
            data += piece
    return os.fsdecode(data.partition(b"\0")[0])


def _process(tid: int) -> int:
    lines = Path(f"/proc/{tid}/status").read_text("utf-8").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Tgid:")), tid)
