"""Processes: which one made a file, does it still live, and is it really the one that may be signalled.

A pid alone is given to another process some day, and a pid in a file may be anybody's: a maker is known by host, pid
and start time, and a signal goes only to a process that was looked at (`Process`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from orchestrator.platform.host import HAS_ROOT, host_name
from orchestrator.platform.processes import KILL, has_ended, hold, may_signal, reap, signal_held
from orchestrator.platform.users import user_id

FOREIGN_AGE = 3600.0
"""Seconds after which a scratch file of another host, about whose processes nothing is known, counts as left behind."""
_MOST = 2**31 - 1
_HAS_PROC = HAS_ROOT and Path("/proc/self/stat").exists()
_DIGITS = re.compile(r"[0-9]{1,10}")
_MADE = re.compile(r"(?P<kind>[a-z]+)-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-(?P<since>[0-9]*)-[0-9a-f]{16}")
_UID = re.compile(r"^Uid:\s+\d+\s+(\d+)", re.MULTILINE)


def parse_pid(value: object) -> int | None:
    """The pid that a file, a name or a server says; None for what no process has.

    1 is a pid: a container's first process may be glm-aria itself. Nothing is ever sent to it (`Process`).
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST else None


def me() -> tuple[str, int, str]:
    """This process: host, pid, start time."""
    return host_name(), os.getpid(), started(os.getpid())


def started(pid: int) -> str:
    """The start time of the process, in the kernel's ticks; empty without /proc, "zombie" for one that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "zombie" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""


def lives(pid: object, since: str) -> bool:
    """True while the process of this host that started then runs."""
    number = parse_pid(pid)
    if number is None:
        return False
    try:
        may_signal(number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return started(number) == since


@dataclass(frozen=True, slots=True)
class Process:
    """A process of ours as a file describes it, to be proven before anything is sent to it.

    `since` is what `started` said of it; `argument` one of its arguments that no other program is given.
    """

    pid: int
    since: str
    argument: str

    @property
    def is_running(self) -> bool:
        """True while the pid is that very process: ours, started then, with that argument. A zombie is none."""
        if self.pid < 2:
            return False
        if not _HAS_PROC:
            return _ps_shows(self.pid, self.argument)
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("utf-8", "replace")
            arguments = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        owner = _UID.search(status)
        is_ours = owner is not None and int(owner[1]) == user_id()
        return is_ours and os.fsencode(self.argument) in arguments and started(self.pid) == self.since

    def end(self, *, patience: float, gently: bool = False) -> bool:
        """End it and wait; False when the pid is not that process, and then nothing is sent.

        With `gently` it gets `patience` seconds after SIGTERM before SIGKILL. Where the kernel has pidfds, the process
        is held by one before it is looked at, so the signal cannot reach another one.
        """
        if self.pid < 2:
            return False
        with contextlib.ExitStack() as held:
            fd = hold(self.pid)
            if fd is not None:
                held.callback(os.close, fd)
            if not self.is_running:
                return False
            for number in (signal.SIGTERM, KILL) if gently else (KILL,):
                with contextlib.suppress(ProcessLookupError):
                    if fd is None:
                        os.kill(self.pid, number)
                    else:
                        signal_held(fd, number)
                if self._ended(fd, patience):
                    break
        with contextlib.suppress(ChildProcessError):
            reap(self.pid)
        return True

    def _ended(self, fd: int | None, patience: float) -> bool:
        if fd is not None:
            return has_ended(fd, patience)
        deadline = time.monotonic() + patience
        while self.is_running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def _ps_shows(pid: int, argument: str) -> bool:
    """For systems without /proc: `ps` shows a process of ours with that argument."""
    words = ["ps", "-ww", "-o", "uid=", "-o", "stat=", "-o", "command=", "-p", str(pid)]
    try:
        text = subprocess.run(words, capture_output=True, timeout=5, check=False, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    uid, state, command = (*os.fsdecode(text).split(None, 2), "", "", "")[:3]
    return uid == str(user_id()) and not state.startswith("Z") and argument in command


def age(path: Path) -> float:
    """Seconds since the last write; infinite when there is no file. A clock that is ahead counts as no age."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")


def made_name(kind: str) -> str:
    """A fresh name for a file or folder, which says whose it is. `kind` is one word of small letters."""
    return f"{kind}-{_mine(os.getpid())}-{os.urandom(8).hex()}"


def scratch_name() -> str:
    """A fresh name for a file that is not ready yet, which says whose it is."""
    return made_name("scratch")


def is_left_behind(path: Path, kind: str = "scratch") -> bool:
    """True when `path` has a name that `made_name` made, and its maker has ended (on another host: the file is old).

    Nothing else is: it may lie in a folder of the user's own.
    """
    found = _MADE.fullmatch(path.name)
    if found is None or found["kind"] != kind:
        return False
    if found["host"] == _host():
        return parse_pid(found["pid"]) is not None and not lives(found["pid"], found["since"])
    return age(path) > FOREIGN_AGE


@functools.cache
def _mine(pid: int) -> str:
    return f"{_host()}-{pid}-{started(pid)}"


@functools.cache
def _host() -> str:
    """The host's name in a form that fits into a file name."""
    return f"{zlib.crc32(host_name().encode()):08x}"
