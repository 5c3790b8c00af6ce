"""Requests that a client may send to a server, whole and odd, and the rules that each must keep."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
from hypothesis import strategies as st

from tests.fuzz.ground import spoiled

SECONDS = 20.0
"""More than the server may keep anybody waiting."""

METHODS = (
    *["GET"] * 12,
    *["HEAD"] * 2,
    *["POST"] * 3,
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "BREW",
)
SEGMENTS = (
    *("api", "models", "datasets", "spaces", "org", "m", "gpt2", "resolve", "main", "config.json", "sub", "vocab.txt"),
    *("revision", "tree", "treesize", "paths-info", "refs", "commits", "whoami-v2", "info", "git-upload-pack", "raw"),
    *("..", ".", "", "%2e%2e", "%2E%2E%2f", "..%2f..%2fetc%2fpasswd", "%00", "%0d%0aX-Evil:1", "%ff", "%", "%zz"),
    *("refs%2Fpr%2F1", "org%2Fm", "ORG", "M", "a" * 300, "%F0%9F%A4%97", "models--org--m", "blobs", "snapshots", "-"),
    *("admin", "metrics", "healthz", "readyz", "v1", "repo", "files", "login", "ORG%00", "con", "http:"),
)
KNOWN = (
    "/api/models/org/m",
    "/api/models/org/m/tree/main",
    "/api/models/org/m/paths-info/main",
    "/org/m/resolve/main/config.json",
    "/org/m/resolve/main/model.safetensors",
    "/api/v1/models/org/m/repo/files",
    "/api/v1/models/org/m/repo",
    "/api/v1/models/org/m/revisions",
    "/models/org/m/resolve/master/config.json",
    "/-/login",
    "/",
    "/metrics",
    "/api/admin/state",
    "/peer/v1/have",
    "/peer/v1/about",
    "/peer/v1/sha256:" + "0" * 64,
)
QUERIES = (
    *("", "blobs=true", "recursive=true", "cursor=0", "cursor=999999999", "cursor=-1", "cursor=%00", "limit=-1", "p=1"),
    *("a=1&a=2", "=", "&&&", "%ff=%ff", "?", "expand=true", "FilePath=config.json", "FilePath=%00", "a=" + "b" * 9000),
    *("n=a&e=1&t=x", "after=1&epoch=1&n=a&e=9999999999&t=" + "A" * 22),
    *("Revision=main&FilePath=../../etc/passwd", "Revision=master&Recursive=True&Root=sub", "PageNumber=-1&PageSize=0"),
)
RANGES = (
    *("bytes=0-0", "bytes=0-", "bytes=-1", "bytes=-0", "bytes=5-2", "bytes=99999999999999999999-", "bytes=0-0,2-3"),
    *(
        "bytes=" + ",".join(["0-"] * 1300),
        "bytes=299999-",
        "bytes=1-300000",
        "items=0-1",
        "bytes",
        "bytes=a-b",
        "bytes=--1",
    ),
)


def header_names(trap: str) -> st.SearchStrategy[tuple[str, str]]:
    """Headers that mean something. `trap` is an address that nobody may be led to."""
    values: dict[str, tuple[str, ...]] = {
        "Host": ("127.0.0.1", "localhost:1", "evil.example", trap, "", "a b", "127.0.0.1:99999", "[::1]"),
        "Range": RANGES,
        "If-Range": ('"x"', "Thu, 01 Jan 1970 00:00:00 GMT", ""),
        "If-None-Match": ("*", '"x"', 'W/"x",' * 500, ""),
        "Content-Length": ("0", "5", "-1", "99999999999999999999", "5, 5", "x", "+5", "0x5"),
        "Transfer-Encoding": ("chunked", "identity", "gzip, chunked", "chunked, chunked", "\tchunked", "xchunked"),
        "Content-Type": ("application/json", "application/x-www-form-urlencoded", "", "json" * 100),
        "Connection": ("close", "keep-alive, Host", "upgrade", "TE"),
        "Upgrade": ("websocket", "h2c", "TLS/1.0"),
        "Expect": ("100-continue", "x"),
        "User-Agent": ("hf_hub/2.4.0; huggingface-cli/2.4.0", "glm-aria/0", "a/" + "9" * 5000, "", "curl/8"),
        "Authorization": ("Bearer x", "Basic !!", "Basic eDp4", "Bearer " + "a" * 9000, "Bearer \xff"),
        "Cookie": ("a=b", "session=" + "x" * 5000),
        "Sec-Fetch-Site": ("cross-site", "same-origin", "none", "x"),
        "X-Forwarded-For": ("1.2.3.4", "x", "," * 500, trap),
        "X-Forwarded-Host": (trap,),
        "X-Forwarded-Proto": ("https", "javascript"),
        "Accept": ("text/event-stream", "*/*", "text/html"),
        "Accept-Language": ("zh", "x" * 1000),
        "Last-Event-ID": ("1", "-1", "x"),
        "X": ("a" * 40_000,),
    }
    return st.sampled_from([(name, value) for name in values for value in values[name]])


BODIES = {
    "none": b"",
    "json": b'{"paths": ["config.json", "sub"]}',
    "a path": b'{"paths": "config.json"}',
    "odd values": b'{"paths": [1, null, {}]}',
    "nested": b"[" * 100_000,
    "form": b"paths=config.json&paths=..",
    "many": b"paths=" * 11_000,
    "no text": b'{"paths": ["\\ud800", "\\u0000"]}',
    "no UTF-8": b"\xff\xfe",
    "a number": b"9" * 5000,
    "too long": b"a" * ((1 << 20) + 1),
}


@dataclass(frozen=True)
class Sent:
    """A request as it goes out."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def is_whole(self) -> bool:
        """False when the server may wait for more of it."""
        return not {name.lower() for name, _ in self.headers} & {"content-length", "transfer-encoding"}

    @property
    def raw(self) -> bytes:
        names = {name.lower() for name, _ in self.headers}
        body = BODIES[self.body]
        more = [] if "host" in names else [("Host", "127.0.0.1")]
        if body and not names & {"content-length", "transfer-encoding"}:
            more.append(("Content-Length", str(len(body))))
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in (*more, *self.headers, ("Connection", "close"))]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def whole(trap: str) -> st.SearchStrategy[Sent]:
    """Requests of the right form, with anything in their parts."""
    path = st.one_of(
        *[st.sampled_from(KNOWN)] * 3,
        st.lists(st.sampled_from(SEGMENTS), max_size=9).map(lambda parts: "/" + "/".join(parts)),
        st.sampled_from(
            (
                f"http://{trap}/api/models/org/m",
                f"//{trap}/x",
                f"/{trap}/m/resolve/main/x",
                "*",
                trap,
                "/" + "a/" * 9000,
            )
        ),
    )
    target = st.tuples(path, st.sampled_from(QUERIES)).map(lambda two: "?".join(two) if two[1] else two[0])
    headers = st.lists(header_names(trap), max_size=3).map(tuple)
    # Where no body is meant, one is rare: else nothing but its refusal would be seen.
    bodies = st.sampled_from((*["none"] * 8, *BODIES))
    return st.builds(Sent, st.sampled_from(METHODS), target, headers, bodies)


GOOD = (
    b"GET /org/m/resolve/main/config.json HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-\r\n\r\n"
    b"POST /api/models/org/m/paths-info/main HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1, 2\r\n1\r\n]\r\n0\r\n\r\n"
    b"HEAD /org/m/resolve/main/config.json HTTP/1.0\r\n\r\n"
)
WORDS = (
    *("\r\n", "\n", "\r", "\r\n\r\n", "\x00", " ", "\t", ":", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1\r\nHost: a", "\x0b"),
    *(
        "Content-Length: 0\r\n",
        "Content-Length: 7\r\n",
        "Transfer-Encoding: chunked\r\n",
        "ffffffffffffffff\r\n",
        "-1\r\n",
    ),
    *("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "GET ", "; a=b", "\r\n ", "Host: b\r\n"),
)


def raw() -> st.SearchStrategy[bytes]:
    """Requests one behind another, with wounds."""
    return spoiled(GOOD, WORDS)


def exchanged(url: str, data: bytes, *, is_whole: bool) -> tuple[bytes, bool]:
    """What came back, and whether the server ended the connection by itself: it must within a while."""
    address = urlsplit(url)
    got = bytearray()
    with socket.create_connection((address.hostname, address.port), SECONDS) as connection:
        try:
            connection.sendall(data)
            if not is_whole:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(1 << 16):
                got += more
        except TimeoutError:
            return bytes(got), False
        except OSError:
            pass
    return bytes(got), True


def statuses(method: str, answer: bytes) -> list[int]:
    """The statuses of answers, read as a strict client does."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(answer)
    reader.receive_data(b"")
    found = []
    while True:
        event: Any = reader.next_event()
        if isinstance(event, h11.Response):
            found.append(event.status_code)
        elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed | h11.EndOfMessage):
            return found
