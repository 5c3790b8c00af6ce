"""HTTP/1.1 messages as values: the request as read, and the reply before it is sent.

A reply keeps what it was made from (the content and the byte range), so that a fault can make another one of it.
Range and If-Range follow RFC 9110 sections 13.1.5 and 14; several ranges in one request are answered by the whole
content, as a server may.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from tests.hub.content import Bytes, Content

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(slots=True)
class Request:
    """A request as it was read; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    http10: bool = False
    raw_path: str = field(init=False)
    query_string: str = field(init=False)

    def __post_init__(self) -> None:
        self.raw_path, _, self.query_string = self.target.partition("?")

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def segments(self) -> list[str]:
        """The path split at its literal slashes, each part then percent-decoded: `refs%2Fpr%2F1` stays one part."""
        return [unquote(part) for part in self.raw_path.strip("/").split("/")]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def token(self) -> str | None:
        """The bearer token, or the session cookie that ModelScope's client sends its token in."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and value:
            return value.strip()
        match = re.search(r"m_session_id=([^;]+)", self.headers.get("cookie", ""))
        return match[1] if match else None

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in {"true", "1"}


@dataclass(slots=True)
class Reply:
    """An answer: `content[start:start+length]` under a status and headers, and how its sending ends."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    content: Content = field(default_factory=lambda: Bytes(b""))
    start: int = 0
    length: int = -1
    declared: int | None = -1
    """Content-Length: -1 the true length, None no header (the body ends with the connection)."""
    file: str | None = None
    """The repository path that was asked for, whatever the answer."""
    carries_file: bool = False
    """True when the body is (a range of) that file's bytes."""
    pointer: bytes | None = None
    """The LFS pointer text of the file, for the fault that serves it."""
    stop_after: int | None = None
    """Body bytes after which `ending` happens; None: after the last."""
    ending: Literal["keep", "close", "reset", "stall", "repeat"] = "keep"
    rate: float | None = None
    """Bytes/s of this reply alone."""
    fault: str | None = None

    def __post_init__(self) -> None:
        if self.length < 0:
            self.length = self.content.size - self.start

    def head(self, *, keep_alive: bool) -> bytes:
        """Status line and headers, with Content-Length and Connection as they will hold."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.declared is not None:
            lines.append(f"Content-Length: {self.length if self.declared < 0 else self.declared}")
        lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, {"Content-Type": "application/json; charset=utf-8"} | (headers or {}), Bytes(body))


def redirect(status: int, location: str, headers: dict[str, str] | None = None) -> Reply:
    text = f"{_phrase(status)}. Redirecting to {location}".encode()
    return Reply(status, {"Location": location, "Content-Type": "text/plain"} | (headers or {}), Bytes(text))


def file_reply(request: Request, content: Content, etag: str, headers: dict[str, str] | None = None) -> Reply:
    """200, 206 or 416 for the file, as the request's Range and If-Range say. `etag` is without quotes."""
    base = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"} | (headers or {})
    wanted = requested_range(request, content.size, etag)
    if wanted is None:
        return Reply(200, base, content, carries_file=True)
    start, length = wanted
    if length <= 0:
        return Reply(416, base | {"Content-Range": f"bytes */{content.size}"})
    base["Content-Range"] = f"bytes {start}-{start + length - 1}/{content.size}"
    return Reply(206, base, content, start, length, carries_file=True)


def requested_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """(start, length) of a single range, clipped to `size`; None for the whole; length 0 if not satisfiable."""
    match = _RANGE.match(request.headers.get("range", "").replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    condition = request.headers.get("if-range")
    if condition is not None and condition.strip('"') != etag:
        return None
    first, last = match[1], match[2]
    if not first:
        count = min(int(last), size)
        return size - count, count
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    return start, max(end - start + 1, 0)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
