"""The service manager that started this process: words to it, and the socket that it opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping
from concurrent.futures import Future
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.platform.sockets import datagrams

HANDED = "fd://"
"""In the place of an address to listen at: the socket that the service manager opened."""
_FIRST = 3
"""The first descriptor that a service manager hands over."""
_COUNT = re.compile("[0-9]{1,18}")
PATIENCE = 5.0
"""Seconds for which a busy service manager is waited for, where it has to hear a word."""
_USUALLY = 10.0
"""Seconds between two beats where the service manager wants no more of them."""


def tell(*words: str, patience: float = 0.0, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager, such as `READY=1`; False where there is none, or it does not listen. One that is too
    busy to take it for `patience` seconds is not told."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not words:
        return False
    if address.startswith("@"):  # a name without a file
        address = "\0" + address[1:]
    message = "\n".join(word.replace("\n", " ") for word in words).encode("utf-8", "replace")
    with datagrams() as speaker:
        speaker.settimeout(patience)
        try:
            speaker.connect(address)
            speaker.send(message)
        except (BlockingIOError, TimeoutError):
            return True
        except OSError:
            return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which the service manager wants to hear `WATCHDOG=1`; None where it does not."""
    wanted, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not _COUNT.fullmatch(wanted) or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / 1e6 or None


async def beat(status: Callable[[], str]) -> None:
    """Tell the service manager how this process is, again and again; nothing without one. What holds up the event loop
    holds up this, too."""
    wanted = watchdog_seconds()
    while tell("WATCHDOG=1", f"STATUS={status()}"):
        await asyncio.sleep(min(_USUALLY, wanted / 3) if wanted else _USUALLY)


@contextlib.contextmanager
def supervised(run: Callable[[Coroutine[Any, Any, None]], Future[None]], status: Callable[[], str]) -> Iterator[None]:
    """The time in which a process is ready: the service manager hears its beginning and its end, and the beats of the
    event loop in which `run` has things done. `status` is called there."""
    tell("READY=1", patience=PATIENCE)
    beats = run(beat(status))
    try:
        yield
    finally:
        tell("STOPPING=1", patience=PATIENCE)
        beats.cancel()


def handed_socket(environment: MutableMapping[str, str] = os.environ) -> socket.socket:
    """The listening TCP socket that the service manager opened for this process, as sd_listen_fds(3) says.

    It is handed over once, and to no program that this process starts. Raises UsageError where there is none, or more
    than one.
    """
    pid, count = environment.get("LISTEN_PID", ""), environment.get("LISTEN_FDS", "")
    hint = "for a unit that has one: glm-aria render glm-aria-serve.socket; or name an address: --listen 127.0.0.1:8090"
    if pid != str(os.getpid()) or not _COUNT.fullmatch(count) or int(count) == 0:
        raise UsageError(
            f"{HANDED} is the socket of a service manager, which has opened none for this process", hint=hint
        )
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environment.pop(name, None)
    if int(count) != 1:
        raise UsageError(
            f"{HANDED} is one socket, and the service manager has opened {count}", hint="one ListenStream="
        )
    try:
        handed = socket.socket(fileno=_FIRST)
    except OSError as error:
        raise UsageError(
            f"{HANDED}: what the service manager opened is no socket: {error.strerror}", hint=hint
        ) from error
    try:
        handed.set_inheritable(False)
        is_internet = handed.family in (socket.AF_INET, socket.AF_INET6) and handed.type == socket.SOCK_STREAM
        if not (is_internet and handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
            raise UsageError(
                f"{HANDED}: the service manager has opened no TCP socket that listens",
                hint="in its unit: ListenStream=ADDRESS:PORT, and Accept=no",
            )
    except BaseException:
        handed.close()
        raise
    return handed
