"""One request and what became of it, for those who count, log and show what a server does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.core.refs import Ref

LEFT = 499
"""The status, as nginx writes it, of a request whose client left before it had one."""


class Presence(StrEnum):
    """The presence of a file when somebody asked for its bytes.

    HIT: in the cache. ARRIVING: on their way for somebody else. MISS: nobody had asked for them.
    """

    HIT = "hit"
    ARRIVING = "arriving"
    MISS = "miss"


@dataclass(slots=True, eq=False)
class Exchange:
    """A request while it is answered, and after that. The thread of the event loop alone changes it.

    `client` is the address it came from, `caller` the name that its token has, `face` who answers. `path` is as it was
    sent, without the query, which may hold a secret. `blob` and `name` are those of the file that was asked for;
    `ref`, `commit` and `size` are its model and its bytes; `is_closed` says that the repo is gated or private.
    `began`, `first_byte` and `ended` are monotonic seconds; `sent` are bytes of the body. `is_whole`: the answer came
    to its end.
    """

    client: str
    method: str
    path: bytes
    face: str
    caller: str = ""
    status: int = 0
    sent: int = 0
    found: Presence | None = None
    blob: Digest | None = None
    name: str = ""
    ref: Ref | None = None
    commit: str = ""
    size: int = 0
    is_closed: bool = False
    is_whole: bool = False
    began: float = field(default_factory=time.monotonic)
    first_byte: float | None = None
    ended: float | None = None

    @property
    def who(self) -> str:
        """The client by the name of its token, or by its address."""
        return self.caller or self.client

    @property
    def seconds(self) -> float:
        """Seconds from the request to the end of its answer; 0 before that."""
        return 0.0 if self.ended is None else self.ended - self.began


class Observer(Protocol):
    """Notes each request when it comes, and when its answer has ended. For the thread of the event loop."""

    def began(self, exchange: Exchange) -> None:
        """It has come."""

    def ended(self, exchange: Exchange) -> None:
        """All that will be sent was sent."""


@contextmanager
def observed(exchange: Exchange, observers: Sequence[Observer]) -> Iterator[None]:
    """The time of an exchange, which observers note."""
    for observer in observers:
        observer.began(exchange)
    try:
        yield
    finally:
        exchange.status = exchange.status or LEFT
        exchange.ended = time.monotonic()
        for observer in observers:
            observer.ended(exchange)
