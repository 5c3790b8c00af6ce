"""Range and conditions of a request for a file (RFC 9110, sections 13 and 14). No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator.core.files import MAX_SIZE

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The bytes that an answer holds, from `start` to before `end` of a file of `size` bytes, and its status.

    `is_open`: the request named no end, as one that continues a file does.
    """

    status: int
    start: int
    end: int
    size: int
    is_open: bool = False

    @classmethod
    def whole(cls, size: int) -> Self:
        """All of a file."""
        return cls(200, 0, size, size)

    @property
    def starts_over(self) -> bool:
        """True when a client that finds this broken off may be given the whole in the place of the rest: it asked for
        the whole, or for a rest without an end. One that names an end may be joining parts of a file."""
        return self.status == 200 or self.is_open

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say so."""
        if self.status == 416:
            return {"Content-Range": f"bytes */{self.size}", "Content-Length": "0"}
        length = {"Content-Length": str(self.end - self.start)}
        if self.status == 206:
            return length | {"Content-Range": f"bytes {self.start}-{self.end - 1}/{self.size}"}
        return length


def bounds_of(asked: str) -> tuple[int, int]:
    """The bytes within which the excerpt for this Range header lies, whatever the size of the file."""
    found = _RANGE.fullmatch(asked.replace(" ", ""))
    if found is None or not found[1] or (found[2] and int(found[2]) < int(found[1])):
        return 0, MAX_SIZE
    return int(found[1]), min(int(found[2]) + 1, MAX_SIZE) if found[2] else MAX_SIZE


def excerpt(headers: Mapping[str, str], size: int, etag: str) -> Excerpt:
    """The excerpt that answers a GET. `headers` have lower-case names; `etag` is without quotes.

    The whole, too, for several ranges at once, and for an If-Range that names another version or a date.
    """
    found = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    condition = headers.get("if-range")
    if found is None or found[0] == "bytes=-" or (condition is not None and condition.strip() != f'"{etag}"'):
        return Excerpt.whole(size)
    first, last = found[1], found[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return Excerpt.whole(size)
    if start >= end:
        return Excerpt(416, 0, 0, size)
    return Excerpt(206, start, end, size, is_open=bool(first) and not last)


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """True when If-None-Match says that the client has this version."""
    named = headers.get("if-none-match", "")
    return named.strip() == "*" or any(one.strip().removeprefix("W/") == f'"{etag}"' for one in named.split(","))
