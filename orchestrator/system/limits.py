"""Limits that the system sets this process: what they are called, and how to raise them."""

from __future__ import annotations

import errno
import functools
from pathlib import Path

from orchestrator.errors import DiskIOError, GlmAriaError, TemporaryError
from orchestrator.platform import rlimits
from orchestrator.platform.users import user_id
from orchestrator.system.failures import FILES_HINT
from orchestrator.system.small_files import read_small_text

PROCESSES_HINT = "end other programs, or raise the limit: ulimit -u 4096 (docker run --pids-limit 4096)"
MEMORY_HINT = "end other programs, or give this one more memory (docker run --memory, ulimit -v)"

_TIGHT = 64
"""Below so many processes and threads a run cannot have all that it likes to have."""
_CONTAINER = Path("/sys/fs/cgroup/pids.max")


@functools.cache
def is_tight() -> bool:
    """True where so few processes may run that each group of threads should have one only."""
    soft, _ = rlimits.processes()
    if user_id() != 0 and soft != rlimits.UNLIMITED and soft < _TIGHT:
        return True
    try:
        most = read_small_text(_CONTAINER, 64).strip()
    except (OSError, ValueError):
        return False
    return most.isdecimal() and int(most) < _TIGHT


def allow_open_files(wanted: int) -> int:
    """Let this process have so many files and connections open, or as many as the system lets it; that number."""
    soft, hard = rlimits.open_files()
    most = wanted if hard == rlimits.UNLIMITED else min(hard, wanted)
    if soft != rlimits.UNLIMITED and soft < most:
        rlimits.set_open_files(most, hard)
    return most if soft == rlimits.UNLIMITED else max(soft, most)


def most_processes() -> str:
    """The limit that keeps us from starting a process or thread, in words."""
    soft, _ = rlimits.processes()
    own = "" if soft == rlimits.UNLIMITED else f"{soft} processes and threads of this user (ulimit -u), or "
    return f"the limit is {own}that of the container (pids.max)"


def scarce(error: BaseException) -> GlmAriaError | None:
    """The error of ours for one that says that memory, descriptors or processes are used up; None for any other."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return TemporaryError("there is not enough memory", hint=MEMORY_HINT)
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        where = f": {error.filename!r}" if error.filename else ""
        return DiskIOError(f"too many files are open{where}", hint=FILES_HINT)
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        what = "no thread can be started"
    elif isinstance(error, OSError) and error.errno == errno.EAGAIN:
        what = "no process can be started"
    else:
        return None
    return TemporaryError(f"{what}: {most_processes()}", hint=PROCESSES_HINT)
