"""Listeners on ports of 127.0.0.1: checked before sending, since any user of the machine may listen.

Linux shows the listening socket in /proc/net/tcp, and the process that holds it by its descriptors. Elsewhere `lsof`
does; where there is none either, nothing is known.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from orchestrator.platform.host import HAS_ROOT
from orchestrator.platform.users import user_id
from orchestrator.system.processes import Process

_TABLE = Path("/proc/net/tcp")
# As the kernel prints it: the four bytes read as a number of this machine.
_LOOPBACK = f"{int.from_bytes(bytes((127, 0, 0, 1)), sys.byteorder):08X}"
_ANY, _LISTEN, _OPENING = "00000000", "0A", "03"
_LOOKS = 3
_CROWDED = 0.9


class Holder(Enum):
    """The kind of listener: the expected process, none, another one, or unknown on this system."""

    OURS = "ours"
    NOBODY = "nobody"
    STRANGER = "stranger"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Listener:
    """A process of ours that listens on a port of 127.0.0.1."""

    process: Process
    port: int

    @property
    def is_proven(self) -> bool:
        """True when a connection to the port reaches that process. Well below a millisecond on Linux."""
        found = holder(self.process.pid, self.port)
        return found is Holder.OURS or (found is Holder.UNKNOWN and self.process.is_running)

    @property
    def is_crowded(self) -> bool:
        """True when the process has about all files open that it may: others hold connections to its port."""
        try:
            limits = Path(f"/proc/{self.process.pid}/limits").read_text("utf-8")
            most = int(limits.partition("Max open files")[2].split()[0])
            return len(os.listdir(f"/proc/{self.process.pid}/fd")) >= most * _CROWDED  # noqa: PTH208
        except (OSError, ValueError, IndexError):
            return False


def holder(pid: int, port: int) -> Holder:
    """The listener on that port of 127.0.0.1, as seen from the process `pid`."""
    if not (HAS_ROOT and _TABLE.exists()):
        return _by_lsof(pid, port)
    for _ in range(_LOOKS):  # the kernel's list may miss one while others come and go
        try:
            inode, uid = _socket(port)
        except OSError:
            return Holder.UNKNOWN
        if inode is not None:
            break
    else:
        return Holder.NOBODY
    link = f"socket:[{inode}]"
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path) == link:  # noqa: PTH115 - hundreds of them
                        return Holder.OURS
    except PermissionError:
        # A security module hides even our own processes; a listener of another user is no process of ours.
        return Holder.UNKNOWN if uid == user_id() else Holder.STRANGER
    except OSError:
        return Holder.STRANGER
    return Holder.STRANGER


def _socket(port: int) -> tuple[int | None, int]:
    """Inode and uid of the socket that gets what is sent to that port of 127.0.0.1."""
    ending = f":{port:04X}"
    found: tuple[int | None, int] = (None, -1)
    with _TABLE.open(encoding="utf-8") as table:
        next(table, None)
        for line in table:
            fields = line.split()
            if fields[3] == _OPENING:
                continue
            if fields[3] != _LISTEN:
                break  # the kernel shows listeners first
            address, _, _ = fields[1].partition(":")
            if fields[1].endswith(ending) and address in (_LOOPBACK, _ANY):
                found = int(fields[9]), int(fields[7])
                if address == _LOOPBACK:
                    break  # the more exact address gets the connection
    return found


def _by_lsof(pid: int, port: int) -> Holder:
    program = shutil.which("lsof")
    if program is None:
        return Holder.UNKNOWN
    words = [program, "-nP", "-a", "-p", str(pid), f"-iTCP@127.0.0.1:{port}", "-sTCP:LISTEN", "-t"]
    try:
        shown = subprocess.run(words, capture_output=True, timeout=10, check=False, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.TimeoutExpired):
        return Holder.UNKNOWN
    return Holder.OURS if shown.split() == [str(pid).encode()] else Holder.NOBODY
