"""Every fault kind, seen on the wire by a client that hides nothing: a raw socket."""

from __future__ import annotations

import gzip
import json
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import requests

from tests.hub.content import lfs_pointer, sha256_of
from tests.hub.faults import CONTENT_KINDS, KINDS, Fault
from tests.hub.loopback import LoopbackHub


@dataclass(frozen=True)
class Answer:
    """What came over the wire, and how it ended: `done` (all that was promised), `closed`, `reset` or `silent`."""

    status: int
    headers: dict[str, str]
    body: bytes
    end: str


def fetch(url: str, headers: dict[str, str] | None = None, *, limit: int = 1 << 30, silence_s: float = 0.3) -> Answer:
    parts = urlsplit(url)
    with socket.create_connection(("127.0.0.1", parts.port or 80), timeout=5) as sock:
        lines = [
            f"GET {parts.path}?{parts.query} HTTP/1.1",
            "Host: x",
            *(f"{k}: {v}" for k, v in (headers or {}).items()),
        ]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        answered = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in rest}
        promised = int(answered.get("content-length", limit))
        received, end = bytearray(body), "done"
        sock.settimeout(silence_s)
        while len(received) < promised:
            try:
                piece = sock.recv(1 << 20)
            except TimeoutError:
                end = "silent"
                break
            except ConnectionResetError:
                end = "reset"
                break
            if not piece:
                end = "closed"
                break
            received += piece
        return Answer(int(first.split()[1]), answered, bytes(received), end)


def lfs_url(hub: LoopbackHub, name: str = "big.bin") -> str:
    answer = requests.head(f"{hub.url}/org/m/resolve/main/{name}", timeout=5)
    assert answer.status_code == 302
    return answer.headers["Location"]


@pytest.fixture(params=["big.bin", "mem.bin"])
def name(request: pytest.FixtureRequest) -> str:
    """The same bytes from a file (sendfile) and from memory."""
    return str(request.param)


def test_every_kind_is_shown_here() -> None:
    shown = {
        "bit_flip", "substitute", "truncated", "truncated_unframed", "extra_byte", "html_portal", "lfs_pointer",
        "range_ignored", "wrong_content_range", "gzip", "reset", "stall", "drip", "endless", "rate_limited", "status",
        "redirect_loop", "redirect", "headers", "lying_listing", "chunked", "chunked_whole",
    }  # fmt: skip
    assert KINDS.keys() == shown
    assert shown > CONTENT_KINDS
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("nonsense")


def test_without_a_fault_the_bytes_are_right(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    answer = fetch(lfs_url(fresh, name))
    assert (answer.status, answer.body, answer.end) == (200, payload, "done")


def test_bit_flip_is_at_its_offset_and_only_there(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("bit_flip", "*.bin", after_bytes=2_000_000), face="cdn")
    body = fetch(lfs_url(fresh, name)).body
    assert [at for at in (1_999_999, 2_000_000, 2_000_001) if body[at] != payload[at]] == [2_000_000]
    assert body[:2_000_000] + payload[2_000_000:2_000_001] + body[2_000_001:] == payload
    assert fetch(lfs_url(fresh, name), {"Range": "bytes=0-1999999"}).body == payload[:2_000_000]
    part = fetch(lfs_url(fresh, name), {"Range": "bytes=1999990-2000009"})
    assert part.status == 206
    assert part.body[10] == payload[2_000_000] ^ 1
    assert fresh.faces["cdn"].faults.fired("bit_flip") == 2


def test_substitute_keeps_the_size(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("substitute"), face="cdn")
    answer = fetch(lfs_url(fresh, name))
    assert len(answer.body) == len(payload)
    assert not any(a == b for a, b in zip(answer.body, payload, strict=True))


def test_truncated_promises_all_and_closes(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("truncated", after_bytes=100_000), face="cdn")
    answer = fetch(lfs_url(fresh, name))
    assert (answer.headers["content-length"], answer.end) == (str(len(payload)), "closed")
    assert answer.body == payload[:100_000]


def test_truncated_unframed_looks_complete(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("truncated_unframed"), face="cdn")
    answer = fetch(lfs_url(fresh, name))
    assert "content-length" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert (answer.body, answer.end) == (payload[: len(payload) // 2], "closed")


def test_extra_byte_makes_the_file_longer(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("extra_byte"), face="cdn")
    answer = fetch(lfs_url(fresh, name))
    assert answer.headers["content-length"] == str(len(payload) + 1)
    assert answer.body == payload + b"\0"
    tail = fetch(lfs_url(fresh, name), {"Range": "bytes=3000000-"})
    assert tail.headers["content-range"] == f"bytes 3000000-{len(payload)}/{len(payload) + 1}"


def test_html_portal_answers_every_request(fresh: LoopbackHub) -> None:
    fresh.fault(Fault("html_portal"))
    for path in ("/api/models/org/m", "/org/m/resolve/main/small.txt"):
        answer = fetch(fresh.url + path)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_lfs_pointer_stands_in_for_the_file(fresh: LoopbackHub, name: str) -> None:
    fresh.fault(Fault("lfs_pointer"), face="cdn")
    file = fresh.repo("org/m").commits[fresh.repo("org/m").head].files[name]
    assert fetch(lfs_url(fresh, name)).body == lfs_pointer(sha256_of(file.content), file.size)


def test_range_ignored_sends_the_whole_file(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("range_ignored"), face="cdn")
    answer = fetch(lfs_url(fresh, name), {"Range": "bytes=5-9"})
    assert (answer.status, answer.body) == (200, payload)
    assert "content-range" not in answer.headers


def test_wrong_content_range(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("wrong_content_range"), face="cdn")
    answer = fetch(lfs_url(fresh, name), {"Range": "bytes=5-9"})
    assert (answer.status, answer.headers["content-range"]) == (206, f"bytes 1029-1033/{len(payload)}")
    assert answer.body == payload[1029:1034]
    whole = fetch(lfs_url(fresh, name), {"Range": f"bytes=0-{len(payload) - 1}"})
    assert whole.headers["content-range"] == f"bytes 1024-{len(payload) - 1}/{len(payload)}"
    assert (whole.status, whole.body) == (206, payload[1024:])


def test_gzip_compresses_whatever_was_asked(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("gzip"), face="cdn")
    answer = fetch(lfs_url(fresh, name), {"Accept-Encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == payload


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body (RFC 9112, 7.1), which must be whole."""
    content, left = b"", body
    while True:
        size, _, left = left.partition(b"\r\n")
        if int(size, 16) == 0:
            assert left == b"\r\n"
            return content
        content, left = content + left[: int(size, 16)], left[int(size, 16) + 2 :]


@pytest.mark.parametrize(("kind", "status", "start"), [("chunked", 206, 100), ("chunked_whole", 200, 0)])
def test_chunked_sends_no_length(
    fresh: LoopbackHub, payload: bytes, name: str, kind: str, status: int, start: int
) -> None:
    fresh.fault(Fault(kind), face="cdn")
    answer = fetch(lfs_url(fresh, name), {"Range": "bytes=100-"})
    assert (answer.status, answer.headers["transfer-encoding"]) == (status, "chunked")
    assert "content-length" not in answer.headers
    assert unchunked(answer.body) == payload[start:]


def test_reset_breaks_the_connection_in_the_body(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("reset", after_bytes=1000), face="cdn")
    answer = fetch(lfs_url(fresh, name))
    assert answer.end == "reset"
    assert answer.body == payload[:1000]


def test_stall_goes_silent_in_the_body(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("stall", after_bytes=1000), face="cdn")
    answer = fetch(lfs_url(fresh, name), silence_s=0.2)
    assert (answer.body, answer.end) == (payload[:1000], "silent")
    assert fresh.log.settle()


@pytest.mark.parametrize(("kind", "end"), [("truncated", "closed"), ("reset", "reset"), ("stall", "silent")])
def test_nothing_is_sent_beyond_an_offset(fresh: LoopbackHub, payload: bytes, name: str, kind: str, end: str) -> None:
    fresh.fault(Fault(kind, until=1000), face="cdn")
    url = lfs_url(fresh, name)
    answer = fetch(url, {"Range": "bytes=400-4999"}, silence_s=0.2)
    assert (answer.status, answer.body, answer.end) == (206, payload[400:1000], end)
    assert fetch(url, {"Range": "bytes=2000-2999"}, silence_s=0.2).body == b""
    assert fetch(url, {"Range": "bytes=0-999"}).body == payload[:1000]
    assert fresh.faces["cdn"].faults.fired(kind) == 2


def test_drip_sends_a_few_bytes_a_second(fresh: LoopbackHub, name: str) -> None:
    fresh.fault(Fault("drip", rate=100), face="cdn")
    answer = fetch(lfs_url(fresh, name), limit=0, silence_s=0.005)
    assert answer.end == "silent"
    assert len(answer.body) < 10
    assert fresh.log.settle()


def test_endless_never_stops_sending(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    fresh.fault(Fault("endless"), face="cdn")
    answer = fetch(lfs_url(fresh, name), limit=3 * len(payload))
    assert "content-length" not in answer.headers
    assert answer.body[: 3 * len(payload)] == payload * 3
    assert fresh.log.settle()


def test_rate_limited_twice_then_right(fresh: LoopbackHub) -> None:
    fresh.fault(Fault("rate_limited", "/api/*", times=2, retry_after_s=7))
    answers = [fetch(f"{fresh.url}/api/models/org/m") for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert (answers[0].headers["retry-after"], answers[0].headers["ratelimit"]) == ("7", '"api";r=0;t=7')


@pytest.mark.parametrize("status", [500, 502, 503])
def test_status_after_one_good_answer(fresh: LoopbackHub, status: int) -> None:
    fresh.fault(Fault("status", "small.txt", skip=1, times=1, status=status))
    url = f"{fresh.url}/org/m/resolve/main/small.txt"
    assert [fetch(url).status for _ in range(3)] == [307, status, 307]


def test_redirects_lead_in_a_circle_or_away(fresh: LoopbackHub) -> None:
    fresh.fault(Fault("redirect_loop", "small.txt"), Fault("redirect", "big.bin", location="ftp://127.0.0.1/big.bin"))
    with pytest.raises(requests.TooManyRedirects):
        requests.get(f"{fresh.url}/org/m/resolve/main/small.txt", timeout=5)
    away = fetch(f"{fresh.url}/org/m/resolve/main/big.bin")
    assert (away.status, away.headers["location"]) == (302, "ftp://127.0.0.1/big.bin")


def test_headers_are_set_and_removed(fresh: LoopbackHub, payload: bytes) -> None:
    near = fresh.mirror("near", faults=[Fault("headers", headers={"x-linked-size": "5", "X-Repo-Commit": None})])
    answer = requests.get(f"{near.url}/org/m/resolve/main/big.bin", timeout=5)
    assert answer.headers["X-Linked-Size"] == "5"
    assert "X-Repo-Commit" not in answer.headers
    assert answer.content == payload


def test_what_is_not_http_is_closed_quietly(fresh: LoopbackHub) -> None:
    with socket.create_connection(("127.0.0.1", fresh.faces["hub"].port), timeout=5) as sock:
        sock.sendall(b"hello\r\n\r\n")
        assert sock.recv(100) == b""


def test_lying_listing_changes_the_entries(fresh: LoopbackHub) -> None:
    def lie(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        return [entry | {"path": f"../{entry['path']}"} for entry in entries]

    fresh.fault(Fault("lying_listing", "*/tree/*", edit=lie))
    answer = fetch(f"{fresh.url}/api/models/org/m/tree/main?recursive=true")
    assert [entry["path"] for entry in json.loads(answer.body)] == ["../big.bin", "../mem.bin"]
    assert 'rel="next"' in answer.headers["link"]


def test_a_listing_as_raw_bytes_under_other_headers(fresh: LoopbackHub) -> None:
    packed = gzip.compress(b"[]")
    fresh.fault(Fault("lying_listing", "*/tree/*", edit=lambda _: packed, headers={"Content-Encoding": "gzip"}))
    answer = fetch(f"{fresh.url}/api/models/org/m/tree/main?recursive=true")
    assert (answer.headers["content-encoding"], answer.body) == ("gzip", packed)


def test_a_content_kind_on_listings(fresh: LoopbackHub, payload: bytes, name: str) -> None:
    for face in ("hub", "cdn"):
        fresh.fault(Fault("reset", after_bytes=10, listings=True), face=face)
    answer = fetch(f"{fresh.url}/api/models/org/m/tree/main?recursive=true")
    assert (len(answer.body), answer.end) == (10, "reset")
    assert fetch(lfs_url(fresh, name)).body == payload


def test_glob_method_and_clear(fresh: LoopbackHub) -> None:
    fresh.fault(Fault("status", "*.bin", method="GET"))
    url = f"{fresh.url}/org/m/resolve/main/big.bin"
    assert requests.head(url, timeout=5).status_code == 302
    assert fetch(url).status == 503
    assert fetch(f"{fresh.url}/org/m/resolve/main/small.txt").status == 307
    assert [exchange.fault for exchange in fresh.log.requests()] == [None, "status", None]
    fresh.clear_faults()
    assert fetch(url).status == 302
