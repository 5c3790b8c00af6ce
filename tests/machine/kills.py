"""A process that kills itself at a system call of its choice; for children of a test that were forked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

_CALLS = ("replace", "rename", "link", "symlink", "unlink", "mkdir", "rmdir", "write", "fsync", "open")


def kill_at(step: int) -> None:
    """SIGKILL for this process at its `step`-th call from now on that could change the disk."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
