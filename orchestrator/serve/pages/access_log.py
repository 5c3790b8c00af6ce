"""The access log of a server: one JSON object a line for each request, without its query and its headers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.core.text import redacted
from orchestrator.errors import CannotCreateError
from orchestrator.events import Emit, Notice
from orchestrator.platform.open_flags import CLOEXEC, NONBLOCK
from orchestrator.serve.http.exchange import Exchange
from orchestrator.settings.values import STDOUT

_LOOK_SECONDS = 1.0
"""Seconds after which it is looked whether the file was renamed."""
_LONGEST = 2000
"""Bytes of a path that are kept."""
_HINT = "name another file with --access-log, or - for stdout"


class AccessLog:
    """Writes a line for each exchange that ends, to a file, or to stdout where that is `-`.

    Where the file was renamed or removed it begins a new one, so logrotate needs to tell nobody. An error is told
    once, and the server goes on. `clock` is unix seconds.
    """

    def __init__(self, path: Path, emit: Emit, clock: Callable[[], float] = time.time) -> None:
        self._path = None if path == STDOUT else path
        self._emit = emit
        self._clock = clock
        self._is_told = False
        self._looked = time.monotonic()
        self._fd = 1 if self._path is None else _open(self._path)

    def __enter__(self) -> AccessLog:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._path is not None:
            os.close(self._fd)

    def began(self, exchange: Exchange) -> None:
        """See Observer."""

    def ended(self, exchange: Exchange) -> None:
        """See Observer."""
        try:
            self._reopen()
            os.write(self._fd, line_of(exchange, self._clock()))
        except (OSError, CannotCreateError) as error:
            if not self._is_told:
                self._is_told = True
                why = error.message if isinstance(error, CannotCreateError) else error.strerror
                self._emit(Notice("access-log", f"no line is written: {why}"))
        else:
            self._is_told = False

    def _reopen(self) -> None:
        now = time.monotonic()
        if self._path is None or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        with suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                return
        fresh = _open(self._path)
        os.close(self._fd)
        self._fd = fresh


def line_of(exchange: Exchange, now: float) -> bytes:
    """The line of an exchange that ended at `now`, in unix seconds. All ASCII: a path can hold no escape code."""
    first = exchange.first_byte
    found = {
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "client": exchange.client,
        "caller": exchange.caller or None,
        "face": exchange.face,
        "method": exchange.method,
        "path": redacted(exchange.path[:_LONGEST].decode("ascii", "backslashreplace")),
        "status": exchange.status,
        "bytes": exchange.sent,
        "seconds": round(exchange.seconds, 4),
        "first_byte": None if first is None else round(first - exchange.began, 4),
        "found": exchange.found,
        "whole": exchange.is_whole,
    }
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def _open(path: Path) -> int:
    """Open a log to be continued. Raises CannotCreateError."""
    try:
        # Not by others: it has the names of repos, and who asks for them.
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | CLOEXEC | NONBLOCK, 0o600)
    except OSError as error:
        raise CannotCreateError(
            f"the access log {path} cannot be written: {error.strerror}", hint=_HINT, file=str(path)
        ) from error
