"""A process that keeps network namespaces: `python -m tests.fleet.keeper COUNT FOLDER`.

It prints a JSON list of processes, of which each has a namespace of its own, and waits for the end of its input. That
comes when its parent closes it or dies, however it dies: then it kills all that still runs in these namespaces, which
ends them, and removes the folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def enter(pid: int) -> None:
    """Move the calling thread, and no other one of this process, into the network namespace of a process."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(descriptor, CLONE_NEWNET))
    finally:
        os.close(descriptor)


def members(pids: Collection[int]) -> Iterator[int]:
    """The processes in the namespaces of these, with themselves."""
    kept = {Path(f"/proc/{pid}/ns/net").readlink() for pid in pids}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if entry.name.isdigit() and (entry / "ns" / "net").readlink() in kept:
                yield int(entry.name)


def _hold() -> int:
    """Start a process that has a namespace and does nothing. It ends with its parent."""
    done, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _checked(_libc.unshare(CLONE_NEWNET))
        os.write(ready, b".")
        while True:
            signal.pause()
    os.close(ready)
    is_made = os.read(done, 1)
    os.close(done)
    if not is_made:
        raise OSError("no network namespace can be made")
    return pid


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Keep them until the input ends."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    pids = [_hold() for _ in range(int(sys.argv[1]))]
    print(json.dumps(pids), flush=True)
    sys.stdin.read()
    while others := set(members(pids)) - set(pids):
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    shutil.rmtree(sys.argv[2], ignore_errors=True)


if __name__ == "__main__":
    main()
