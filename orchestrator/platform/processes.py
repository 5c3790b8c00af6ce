"""Signals that not every system has, groups of processes, and processes that are held while they get a signal."""

from __future__ import annotations

import os
import signal
import sys

from orchestrator.platform.lacking import lacks

if sys.platform == "win32":
    KILL = signal.SIGTERM
    FROM_KEYS: tuple[signal.Signals, ...] = (signal.SIGINT,)
    PASSED_ON: tuple[signal.Signals, ...] = (*FROM_KEYS, signal.SIGTERM)
else:
    import fcntl
    import select

    KILL = signal.SIGKILL
    FROM_KEYS = (signal.SIGINT, signal.SIGQUIT)
    """Those that a terminal sends to all that is in its foreground."""
    PASSED_ON = (*FROM_KEYS, signal.SIGTERM, signal.SIGHUP)


HAS_TIES = sys.platform == "linux"
"""A pipe can end a process whose parent is gone: elsewhere SIGIO is ignored by default."""


def signal_group(leader: int, number: int) -> None:
    """Send a signal to all processes of a group. Raises ProcessLookupError."""
    if sys.platform != "win32":
        os.killpg(leader, number)
    else:
        raise lacks("groups of processes")


def may_signal(pid: int) -> None:
    """Raise ProcessLookupError when there is no such process, PermissionError when it is another user's."""
    if sys.platform != "win32":
        os.kill(pid, 0)
    else:
        raise lacks("signals that do nothing")  # there os.kill ends the process, whatever the number


def hold(pid: int) -> int | None:
    """A descriptor of the process; None where the system has none to give, or it has ended."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def signal_held(fd: int, number: int) -> None:
    """Send a signal to a held process. Raises ProcessLookupError."""
    if sys.platform == "linux":
        signal.pidfd_send_signal(fd, number)


def has_ended(fd: int, patience: float) -> bool:
    """Wait for the end of a held process, for so many seconds at most."""
    if sys.platform != "win32":
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(patience * 1000))
    raise lacks("held processes")


def reap(pid: int) -> None:
    """Take note of a child that ended: it would stay as a zombie. Raises ChildProcessError."""
    if sys.platform != "win32":
        os.waitpid(pid, os.WNOHANG)


def tie(pid: int, end: int) -> None:
    """Have the kernel signal (SIGIO) the process once nobody writes to the pipe any more. Raises OSError."""
    if sys.platform == "linux":
        fcntl.fcntl(end, fcntl.F_SETOWN, pid)
        fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
