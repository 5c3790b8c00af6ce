"""Words to the service manager that started this process: the datagrams of sd_notify(3)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orchestrator.platform.sockets import datagrams


def tell(*words: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager, such as `READY=1`; False where there is none, or it does not listen."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not words:
        return False
    if address.startswith("@"):  # a name without a file
        address = "\0" + address[1:]
    message = "\n".join(word.replace("\n", " ") for word in words).encode("utf-8", "replace")
    with datagrams() as speaker:
        try:
            speaker.sendto(message, address)
        except OSError:
            return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which the service manager wants to hear `WATCHDOG=1`; None where it does not."""
    wanted, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (wanted.isascii() and wanted.isdecimal()) or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / 1e6 or None
