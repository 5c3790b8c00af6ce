"""What can go wrong on the wire, as data: `Fault("bit_flip", "*.safetensors", times=1)`.

`KINDS` maps each kind to the function that makes the wrong reply of the right one. Kinds in `CONTENT_KINDS` touch
only replies that carry a file's bytes (GET, 200 or 206); the others touch every request that the fault's glob and
method admit. The glob is matched against the repository path of the file asked for and against the percent-decoded
URL path; either match will do.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from tests.hub.content import Bytes, Content
from tests.hub.wire import Reply, Request, file_reply, json_reply


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    `times`: how many replies it spoils (None: all); `skip`: how many that it could have spoiled it lets pass first.
    `after_bytes`: for bit_flip an offset in the file (default: the middle; a range that does not hold it is left
    alone and not counted), otherwise how many body bytes are sent before it happens (default: half the body).
    `until`: instead, the offset in the file beyond which nothing is ever sent, whatever ranges are asked for.
    `listings`: a kind of `CONTENT_KINDS` spoils answers in JSON, and no files.
    `remaining`: what a 429 says is left of the quota; above 0, the quota is not its reason.
    """

    kind: str
    path_glob: str = "*"
    times: int | None = None
    skip: int = 0
    after_bytes: int | None = None
    until: int | None = None
    listings: bool = False
    method: str | None = None
    retry_after_s: int = 1
    remaining: int = 0
    status: int = 503
    location: str | None = None
    rate: float = 10.0
    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    edit: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; known: {', '.join(KINDS)}")

    def stop(self, reply: Reply) -> int | None:
        """Body bytes of this reply that are sent; None when it lies wholly before `until`."""
        if self.until is not None:
            count = max(self.until - reply.start, 0)
            return count if count < reply.length else None
        return reply.length // 2 if self.after_bytes is None else min(self.after_bytes, reply.length)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    fired: int = 0


@dataclass
class FaultSet:
    """The faults of one face; the first that applies spoils the reply. Safe to change while the face serves."""

    _armed: list[_Armed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._armed += [_Armed(fault) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def fired(self, kind: str | None = None) -> int:
        """How many replies were spoiled, by faults of that kind or by any."""
        with self._lock:
            return sum(armed.fired for armed in self._armed if kind in (None, armed.fault.kind))

    def apply(self, request: Request, reply: Reply) -> Reply:
        if not self._armed:
            return reply
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if (fault.times is not None and armed.fired >= fault.times) or not _admits(fault, request, reply):
                    continue
                wrong = KINDS[fault.kind](fault, request, reply)
                if wrong is None:
                    continue
                armed.seen += 1
                if armed.seen <= fault.skip:
                    continue
                armed.fired += 1
                return replace(wrong, file=reply.file, fault=fault.kind)
        return reply


def _admits(fault: Fault, request: Request, reply: Reply) -> bool:
    if fault.method not in (None, request.method):
        return False
    spoilable = _is_json(reply) if fault.listings else reply.carries_file
    if fault.kind in CONTENT_KINDS and not (spoilable and request.method == "GET"):
        return False
    return any(name is not None and fnmatchcase(name, fault.path_glob) for name in (reply.file, request.path))


def _is_json(reply: Reply) -> bool:
    return reply.status == 200 and reply.headers.get("Content-Type", "").startswith("application/json")


@dataclass(frozen=True, slots=True)
class _Changed:
    """Content derived from another by a function of (offset, bytes)."""

    inner: Content
    size: int
    change: Callable[[int, bytes], bytes]
    path: None = None

    def read(self, offset: int, count: int) -> bytes:
        wanted = max(0, min(count, self.size - offset))
        return self.change(offset, self.inner.read(offset, wanted))[:wanted]


_PIECE = 64 << 10
_XOR = bytes(value ^ 0x5A for value in range(256))


def _bit_flip(fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    where = reply.content.size // 2 if fault.after_bytes is None else fault.after_bytes
    if not reply.start <= where < reply.start + reply.length:
        return None

    def flip(offset: int, data: bytes) -> bytes:
        at = where - offset
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if 0 <= at < len(data) else data

    return replace(reply, content=_Changed(reply.content, reply.content.size, flip))


def _substitute(_fault: Fault, _request: Request, reply: Reply) -> Reply:
    """Other bytes of the same size, under the right headers."""
    return replace(reply, content=_Changed(reply.content, reply.content.size, lambda _, data: data.translate(_XOR)))


def _broken_off(reply: Reply, stop: int | None, ending: Literal["close", "reset", "stall"]) -> Reply | None:
    return None if stop is None else replace(reply, stop_after=stop, ending=ending)


def _truncated(fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    """The right Content-Length, then a clean close (FIN) too early."""
    return _broken_off(reply, fault.stop(reply), "close")


def _truncated_unframed(fault: Fault, _request: Request, reply: Reply) -> Reply:
    """No Content-Length: the close ends the body, and looks like the end of the file."""
    return replace(reply, declared=None, stop_after=fault.stop(reply), ending="close")


def _extra_byte(_fault: Fault, request: Request, reply: Reply) -> Reply:
    size = reply.content.size

    def extend(offset: int, data: bytes) -> bytes:
        return data + b"\0"

    longer = _Changed(reply.content, size + 1, extend)
    headers = {name: value for name, value in reply.headers.items() if name not in ("Content-Range", "ETag")}
    return file_reply(request, longer, reply.headers.get("ETag", "").strip('"'), headers)


def _html_portal(fault: Fault, _request: Request, _reply: Reply) -> Reply:
    """A captive portal: 200 and a login page, whatever was asked."""
    page = fault.body or b"<!DOCTYPE html><html><body><h1>Please sign in to the network</h1></body></html>\n"
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, Bytes(page))


def _lfs_pointer(_fault: Fault, request: Request, reply: Reply) -> Reply | None:
    if reply.pointer is None:
        return None
    return file_reply(request, Bytes(reply.pointer), "pointer", {"Content-Type": "text/plain; charset=utf-8"})


def _range_ignored(_fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    if reply.status != 206:
        return None
    headers = {name: value for name, value in reply.headers.items() if name not in ("Content-Range", "Accept-Ranges")}
    return replace(reply, status=200, headers=headers, start=0, length=reply.content.size)


def _wrong_content_range(_fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    """206 with bytes from 1 KiB off, honestly labelled: not what was asked for. Of a whole file, without its first."""
    if reply.status != 206:
        return None
    start, length = reply.start, reply.length
    if shift := min(1024, max(reply.content.size - start - length, 0)) or -min(1024, start):
        start += shift
    else:
        cut = min(1024, length - 1)
        start, length = cut, length - cut
    claimed = f"bytes {start}-{start + length - 1}/{reply.content.size}"
    return replace(reply, start=start, length=length, headers=reply.headers | {"Content-Range": claimed})


def _gzip(_fault: Fault, _request: Request, reply: Reply) -> Reply:
    packed = gzip.compress(reply.content.read(reply.start, reply.length), mtime=0)
    return replace(
        reply, content=Bytes(packed), start=0, length=len(packed), headers=reply.headers | {"Content-Encoding": "gzip"}
    )


def _reset(fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    """A TCP RST in the body (SO_LINGER 0)."""
    return _broken_off(reply, fault.stop(reply), "reset")


def _stall(fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    """Nothing more, and the connection stays open."""
    return _broken_off(reply, fault.stop(reply), "stall")


def _drip(fault: Fault, _request: Request, reply: Reply) -> Reply:
    return replace(reply, rate=fault.rate)


def _endless(_fault: Fault, _request: Request, reply: Reply) -> Reply:
    """No Content-Length, and the content again and again."""
    return replace(reply, declared=None, ending="repeat")


def _chunked(fault: Fault, _request: Request, reply: Reply) -> Reply:
    """`Transfer-Encoding: chunked`, also on a 206: how much comes is not told before."""
    data = reply.content.read(reply.start, reply.length)
    pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    headers = reply.headers | {"Transfer-Encoding": "chunked"}
    made = replace(reply, content=Bytes(framed), start=0, length=len(framed), declared=None, headers=headers)
    return made if fault.after_bytes is None else replace(made, stop_after=fault.after_bytes, ending="close")


def _chunked_whole(fault: Fault, request: Request, reply: Reply) -> Reply:
    """The same of a server that knows no ranges."""
    return _chunked(fault, request, _range_ignored(fault, request, reply) or reply)


def _rate_limited(fault: Fault, _request: Request, _reply: Reply) -> Reply:
    headers = {
        "Retry-After": str(fault.retry_after_s),
        "RateLimit": f'"api";r={fault.remaining};t={fault.retry_after_s}',
        "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
    }
    return json_reply({"error": "We had to rate limit you."}, 429, headers)


def _status(fault: Fault, _request: Request, _reply: Reply) -> Reply:
    return json_reply({"error": f"status {fault.status}"}, fault.status, _set(fault.headers))


def _redirect_loop(_fault: Fault, request: Request, _reply: Reply) -> Reply:
    return Reply(302, {"Location": request.target})


def _redirect(fault: Fault, _request: Request, _reply: Reply) -> Reply:
    return Reply(302, {"Location": fault.location or "ftp://127.0.0.1/file"})


def _headers(fault: Fault, _request: Request, reply: Reply) -> Reply:
    """The right body under other headers: `headers` sets, or with None removes, by name without regard to case."""
    touched = {name.lower() for name in fault.headers}
    kept = {name: value for name, value in reply.headers.items() if name.lower() not in touched}
    return replace(reply, headers=kept | _set(fault.headers))


def _lying_listing(fault: Fault, _request: Request, reply: Reply) -> Reply | None:
    """A JSON answer after `edit` has been over it (given as bytes it is sent as it is), under `headers` as well."""
    if not _is_json(reply):
        return None
    if fault.edit is None:
        raise ValueError("lying_listing needs edit=")
    changed = fault.edit(json.loads(reply.content.read(0, reply.content.size)))
    body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    return replace(reply, content=Bytes(body), length=len(body), headers=reply.headers | _set(fault.headers))


def _set(headers: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if value is not None}


KINDS: dict[str, Callable[[Fault, Request, Reply], Reply | None]] = {
    "bit_flip": _bit_flip,
    "substitute": _substitute,
    "truncated": _truncated,
    "truncated_unframed": _truncated_unframed,
    "extra_byte": _extra_byte,
    "html_portal": _html_portal,
    "lfs_pointer": _lfs_pointer,
    "range_ignored": _range_ignored,
    "wrong_content_range": _wrong_content_range,
    "gzip": _gzip,
    "reset": _reset,
    "stall": _stall,
    "drip": _drip,
    "endless": _endless,
    "chunked": _chunked,
    "chunked_whole": _chunked_whole,
    "rate_limited": _rate_limited,
    "status": _status,
    "redirect_loop": _redirect_loop,
    "redirect": _redirect,
    "headers": _headers,
    "lying_listing": _lying_listing,
}

CONTENT_KINDS = frozenset(
    {
        "bit_flip",
        "substitute",
        "truncated",
        "truncated_unframed",
        "extra_byte",
        "lfs_pointer",
        "range_ignored",
        "wrong_content_range",
        "gzip",
        "reset",
        "stall",
        "drip",
        "endless",
        "chunked",
        "chunked_whole",
    }
)


def fault_set(faults: Iterable[Fault]) -> FaultSet:
    made = FaultSet()
    made.add(*faults)
    return made
