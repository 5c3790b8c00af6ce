"""Answers of a site: whole (`Answer`) or still on the way (`Stream`), within common limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from requests.utils import parse_header_links
from urllib3.response import BaseHTTPResponse

from orchestrator.errors import ProtocolError, TemporaryError
from orchestrator.lists.json_text import parse_json
from orchestrator.net.addresses import redact, split
from orchestrator.net.failures import FOREIGN, translate

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call. Times are seconds, sizes bytes.

    `connect` and `read` bound one socket operation, `deadline` the whole call with its redirects, retries and waits
    (of `Net.stream` the time until the headers are there). A body that takes longer than `read` must come at `slowest`
    bytes/s at least.
    `attempts` bounds all tries, `unreachable` those that ended before there was a connection. `body` is counted after
    decompression, `depth` is how deep JSON may nest, `values` how many values it may hold: as Python objects they take
    up to 30 times the room of their text.
    """

    connect: float = 10.0
    read: float = 10.0
    deadline: float = 90.0
    attempts: int = 5
    unreachable: int = 5
    slowest: int = 1024
    body: int = 32 * 1024 * 1024
    depth: int = 32
    values: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `url` is where it came from at last, `headers` ignore case, `body` is decompressed."""

    url: str = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    limits: Limits = field(default_factory=Limits, repr=False)

    @property
    def value(self) -> Any:
        """The JSON of a 200. Raises ProtocolError for any other status, and for what is not (sane) JSON."""
        if self.status != 200:
            raise ProtocolError(f"{self.place} answered HTTP {self.status}", source=self.host)
        return self.json

    @property
    def json(self) -> Any:
        """The JSON of any status. Raises ProtocolError for what is not (sane) JSON."""
        # Each value follows one of these; those inside strings only make the estimate higher.
        if sum(map(self.body.count, (b",", b"[", b"{"))) > self.limits.values:
            raise ProtocolError(f"{self.place} answered with over {self.limits.values} values", source=self.host)
        try:
            value = parse_json(self.body)
        except ValueError as error:
            raise ProtocolError(
                f"{self.place} did not answer with JSON",
                hint="a login page of the network, or a proxy, may have answered instead",
                source=self.host,
            ) from error
        if not _is_shallow(value, self.limits.depth):
            raise ProtocolError(
                f"{self.place} answered JSON that is nested over {self.limits.depth} deep", source=self.host
            )
        return value

    def linked(self, relation: str) -> str | None:
        """The address in `Link: <…>; rel="relation"` (RFC 8288), as it stands there; None without one."""
        links = parse_header_links(self.headers.get("Link", ""))
        return next((link["url"] for link in links if link.get("rel") == relation and link.get("url")), None)

    @property
    def place(self) -> str:
        """The address as it may be shown."""
        return redact(self.url)

    @property
    def host(self) -> str:
        """The host with its port, as it may be shown."""
        return split(self.url).netloc


class Stream:
    """A body that is still on its way; made by `Net.stream`. Iterate over `chunks` once. A context manager."""

    def __init__(self, url: str, response: BaseHTTPResponse, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits, self._clock = limits, clock
        self.url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back: to be used again if the body was read to its end, else it is closed."""
        put_back(self._response)

    def abort(self) -> None:
        """End the wait for more, from another thread: `chunks` then raises, or ends early."""
        with suppress(OSError, RuntimeError, ValueError):  # it has ended by itself meanwhile
            self._response.shutdown()

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, undecoded. Raises TemporaryError when the line breaks, falls silent or only drips."""
        begun, done = self._clock(), 0
        for chunk in chunks_of(self._response, self.url, decode=False):
            done += len(chunk)
            yield chunk
            seconds = self._clock() - begun
            if seconds > self._limits.read and done < self._limits.slowest * seconds:
                raise too_slow(self.url)


def put_back(response: BaseHTTPResponse) -> None:
    """Give the connection of an answer back: to be used again if the body was read to its end, else it is closed."""
    response.close()
    response.release_conn()


def chunks_of(response: BaseHTTPResponse, url: str, *, decode: bool) -> Iterator[bytes]:
    """The bytes of each read of the socket; so a slow drip lets the caller look at the clock."""
    while True:
        try:
            chunk = response.read1(CHUNK, decode_content=decode)
        except FOREIGN as error:
            raise translate(error, url) from error
        if not chunk:
            return
        yield chunk


def too_slow(url: str) -> TemporaryError:
    return TemporaryError(
        f"{split(url).netloc} is too slow ({redact(url)}); gave up",
        hint="run the same command again; arrived bytes are kept",
        source=split(url).netloc,
    )


def _is_shallow(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        nested = [item for item in level if isinstance(item, dict | list)]
        if not nested:
            return True
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
    return not any(isinstance(item, dict | list) for item in level)
