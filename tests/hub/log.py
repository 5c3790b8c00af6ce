"""What was asked of each face, and what was sent: the record that tests and benchmarks reason from.

An exchange is logged when its request has been read and updated while the body goes out. Bytes are counted before
they are handed to the kernel (and taken back if the connection breaks), so a client that has received a byte finds
it counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Times are `time.monotonic()` seconds; `bytes_sent` counts body bytes only."""

    face: str
    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str
    range: str | None
    authorization: str | None
    token: str | None
    """The bearer token, or ModelScope's `m_session_id` cookie."""
    user_agent: str | None
    client: str
    """The address that it came from."""
    connection: int
    """Equal for requests of one TCP connection, unique over all faces."""
    start: float
    headers: dict[str, str]
    status: int = 0
    bytes_sent: int = 0
    end: float | None = None
    fault: str | None = None
    file: str | None = None
    """The repository path, when the request was for a file."""


@dataclass
class RequestLog:
    """A thread-safe list of exchanges with the questions that tests ask of it."""

    _exchanges: list[Exchange] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, exchange: Exchange) -> None:
        with self._changed:
            self._exchanges.append(exchange)
            self._changed.notify_all()

    def end(self, exchange: Exchange) -> None:
        with self._changed:
            exchange.end = time.monotonic()
            self._changed.notify_all()

    def requests(
        self,
        *,
        face: str | None = None,
        method: str | None = None,
        path: str = "*",
        file: str | None = None,
        status: int | None = None,
    ) -> list[Exchange]:
        """Exchanges in order of arrival; `path` and `file` are globs, on the URL path and on the repository path."""
        with self._changed:
            found = list(self._exchanges)
        return [
            exchange
            for exchange in found
            if (face is None or exchange.face == face)
            and (method is None or exchange.method == method)
            and (status is None or exchange.status == status)
            and (file is None or (exchange.file is not None and fnmatchcase(exchange.file, file)))
            and fnmatchcase(exchange.path, path)
        ]

    def bytes_sent(self, **where: Any) -> int:
        """Body bytes of the exchanges that `requests(**where)` finds."""
        return sum(exchange.bytes_sent for exchange in self.requests(**where))

    def connections(self, **where: Any) -> int:
        """How many TCP connections carried the exchanges that `requests(**where)` finds."""
        return len({exchange.connection for exchange in self.requests(**where)})

    def tokens(self, **where: Any) -> set[str]:
        """Every token seen in the exchanges that `requests(**where)` finds."""
        return {exchange.token for exchange in self.requests(**where) if exchange.token}

    def wait_for(self, condition: Callable[[RequestLog], bool], timeout_s: float = 10.0) -> bool:
        """Block until `condition(log)` holds; it is looked at when a request begins or ends and every 50 ms."""
        deadline = time.monotonic() + timeout_s
        while not condition(self):
            if time.monotonic() > deadline:
                return False
            with self._changed:
                self._changed.wait(0.05)
        return True

    def settle(self, timeout_s: float = 10.0) -> bool:
        """Block until no exchange is under way."""
        return self.wait_for(lambda log: all(exchange.end is not None for exchange in log.requests()), timeout_s)

    def reset(self) -> None:
        with self._changed:
            self._exchanges.clear()

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(exchange) for exchange in self.requests()]
