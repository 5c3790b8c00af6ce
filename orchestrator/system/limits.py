"""Limits that the system sets this process: what they are called, and how to raise them."""

from __future__ import annotations

import resource

FILES_HINT = "raise the limit of open files: ulimit -n 4096 (docker run --ulimit nofile=4096)"
PROCESSES_HINT = "end other programs, or raise the limit: ulimit -u 4096 (docker run --pids-limit 4096)"


def most_processes() -> str:
    """The limit that keeps us from starting a process or thread, in words."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    own = "" if soft == resource.RLIM_INFINITY else f"{soft} processes and threads of this user (ulimit -u), or "
    return f"the limit is {own}that of the container (pids.max)"
