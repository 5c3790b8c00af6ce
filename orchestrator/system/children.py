"""Child processes: those that end the moment their parent does, even by SIGKILL, and a command of the user's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from orchestrator.errors import CommandError, CommandNotFoundError, GlmAriaError
from orchestrator.platform.open_flags import CLOEXEC, NOCTTY
from orchestrator.platform.processes import FROM_KEYS, HAS_TIES, KILL, PASSED_ON, signal_group, tie
from orchestrator.system.limits import scarce


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
        if not HAS_TIES:
            super().__init__(args, stdin=subprocess.DEVNULL, **options)
            return
        end, held = os.pipe()
        weakref.finalize(self, os.close, held)
        try:
            super().__init__(args, stdin=end, **options)
            tie(self.pid, end)
        finally:
            os.close(end)


_GRACE = 3.0
"""Seconds that a command has after the second signal."""


def run_command(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    kept: Sequence[int] = (),
    on_patience: Callable[[], None] | None = None,
) -> int:
    """Run a command of the user's, with our standard streams, to its end; its exit code, 128 and more for a signal.

    For the main thread. Signals that ask us to end are the command's, which gets each of them once: from the terminal
    in whose foreground both are, or from us, with all that it started. After the second it has `_GRACE` seconds to end.
    Where it runs on for so long after a first key, `on_patience` is called, in a thread.
    It inherits the descriptors `kept`, too, so that what they stand for outlives us. Raises CommandError when it cannot
    be started.
    """
    has_terminal = _has_terminal()
    # Without a terminal it gets a group of its own. With one it must stay in ours, or it could not read from there.
    group = {} if has_terminal else {"process_group": 0}
    with _passing_on(on_patience, has_terminal=has_terminal) as children:
        try:
            child = subprocess.Popen(words, env=environment, pass_fds=kept, **group)  # type: ignore[call-overload]
        except OSError as error:
            raise _cannot_start(words[0], error) from error
        children.append(child)
        code: int = child.wait()
    return 128 - code if code < 0 else code


def refuse_missing(name: str) -> None:
    """Raise CommandNotFoundError when there is no such command; what else may be wrong with it, starting it tells."""
    if shutil.which(name, mode=os.F_OK) is None:
        if os.sep in name and Path(name).is_dir():
            raise CommandError(f"{name!r} cannot be started: it is a folder")
        raise CommandNotFoundError(f"there is no command {name!r}", hint="check its spelling, and PATH")


def _cannot_start(name: str, error: OSError) -> GlmAriaError:
    refuse_missing(name)
    # A script whose interpreter is not there is "not found", too.
    why = "its interpreter is not there" if isinstance(error, FileNotFoundError) else error.strerror
    return scarce(error) or CommandError(f"{name!r} cannot be started: {why}")


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | NOCTTY | CLOEXEC))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _passing_on(
    on_patience: Callable[[], None] | None, *, has_terminal: bool
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Pass signals on to the child that is put into the list. Those that we ignore, it ignores, too."""
    children: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def tell(number: int) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                if has_terminal or child.poll() is not None:
                    child.send_signal(number)
                else:
                    signal_group(child.pid, number)

    def remind() -> None:
        if on_patience is not None and len(received) == 1 and children and children[0].returncode is None:
            on_patience()

    def later(step: Callable[..., None], *args: object) -> None:
        timer = threading.Timer(_GRACE, step, args)
        timer.daemon = True
        timer.start()

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if not (has_terminal and number in FROM_KEYS):
            tell(number)
        if len(received) == 1 and has_terminal and number in FROM_KEYS:
            later(remind)
        if len(received) == 2:
            later(tell, KILL)

    before = {number: signal.getsignal(number) for number in PASSED_ON}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handle)
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
