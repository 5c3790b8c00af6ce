"""Child processes that end the moment their parent does, even by SIGKILL."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import weakref
from typing import Any

_TIES = sys.platform == "linux"  # elsewhere SIGIO is ignored by default


class UntiedChild(subprocess.Popen[bytes]):
    """A child that reads nothing from its standard input, and outlives this process. Raises OSError."""

    def __init__(self, args: list[str], **options: Any) -> None:
        super().__init__(args, stdin=subprocess.DEVNULL, **options)

    def __del__(self) -> None:
        """Without Popen's warning of a child that still runs: it is meant to."""
        super().__del__(_warn=_silence)  # type: ignore[call-arg]


def _silence(*_: object, **__: object) -> None:
    """Drop a warning."""


class TiedChild(subprocess.Popen[bytes]):
    """A child that reads nothing from its standard input, and ends when this process does. On Linux; elsewhere it
    outlives this process. Raises OSError.

    Its standard input is a pipe that nobody writes to, and this process alone holds the other end. When the process is
    gone the kernel closes that end and signals the owner of the pipe (O_ASYNC, F_SETOWN): the child, which SIGIO ends.
    Not PR_SET_PDEATHSIG, which needs code between fork and exec, beside other threads, and follows a thread.
    """

    def __init__(self, args: list[str], **options: Any) -> None:
        if not _TIES:
            super().__init__(args, stdin=subprocess.DEVNULL, **options)
            return
        end, held = os.pipe()
        weakref.finalize(self, os.close, held)
        try:
            super().__init__(args, stdin=end, **options)
            fcntl.fcntl(end, fcntl.F_SETOWN, self.pid)
            fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
        finally:
            os.close(end)
