"""Ranges, signed URLs, mirrors, shapes and the process form: what no client library shows."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import generate, make_file
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.hub.wire import Reply, Request
from tests.machine.machine import until


def location(hub: LoopbackHub, name: str = "big.bin") -> str:
    return requests.head(f"{hub.url}/org/m/resolve/main/{name}", timeout=5).headers["Location"]


@pytest.mark.parametrize(
    ("wanted", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1000-1999", 206, 1000, 2000),
        ("bytes=3145000-", 206, 3_145_000, 3 << 20),
        ("bytes=-100", 206, (3 << 20) - 100, 3 << 20),
        ("bytes=3145727-9999999", 206, 3_145_727, 3 << 20),
        ("bytes=5-2", 200, 0, 3 << 20),
        ("bytes=0-1,4-5", 200, 0, 3 << 20),
        ("chunks=0-1", 200, 0, 3 << 20),
    ],
)
def test_a_range_is_answered_as_http_says(
    fresh: LoopbackHub, payload: bytes, wanted: str, status: int, start: int, end: int
) -> None:
    answer = requests.get(location(fresh), headers={"Range": wanted}, timeout=5)
    assert (answer.status_code, answer.content) == (status, payload[start:end])
    expected = f"bytes {start}-{end - 1}/{len(payload)}" if status == 206 else None
    assert answer.headers.get("Content-Range") == expected


def test_unsatisfiable_range_and_if_range(fresh: LoopbackHub, payload: bytes) -> None:
    url = location(fresh)
    beyond = requests.get(url, headers={"Range": f"bytes={len(payload)}-"}, timeout=5)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(payload)}")
    etag = requests.head(url, timeout=5).headers["ETag"]
    same = requests.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}, timeout=5)
    other = requests.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}, timeout=5)
    assert (same.status_code, other.status_code) == (206, 200)


def test_curl_resumes_a_download(fresh: LoopbackHub, payload: bytes, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    part = tmp_path / "part"
    part.write_bytes(payload[:1_000_000])
    url = f"{fresh.url}/org/m/resolve/main/big.bin"
    subprocess.run(["curl", "-sfL", "-C", "-", "-o", part, url], check=True, timeout=20)
    assert part.read_bytes() == payload
    assert fresh.log.bytes_sent(face="cdn") == len(payload) - 1_000_000


def test_resolve_names_the_digest_and_the_cdn_does_not(fresh: LoopbackHub) -> None:
    file = fresh.repo("org/m").commits[fresh.repo("org/m").head].files["big.bin"]
    answer = requests.head(f"{fresh.url}/org/m/resolve/main/big.bin", timeout=5)
    assert answer.headers["X-Linked-ETag"] == f'"{file.sha256}"'
    assert answer.headers["X-Linked-Size"] == str(file.size)
    assert answer.headers["X-Repo-Commit"] == fresh.repo("org/m").head
    assert answer.headers["Location"].startswith(fresh.cdn_url + "/")
    assert str(file.sha256) not in requests.head(answer.headers["Location"], timeout=5).headers["ETag"]
    assert "X-Xet-Hash" not in answer.headers


def test_small_file_lies_where_its_redirect_leads_also_without_the_query(fresh: LoopbackHub) -> None:
    answer = requests.get(f"{fresh.url}/org/m/resolve/main/small.txt", allow_redirects=False, timeout=5)
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith("/api/resolve-cache/models/org/m/")
    target = fresh.url + answer.headers["Location"]
    assert requests.get(target, timeout=5).content == b"small text\n" * 50
    assert requests.get(target.partition("?")[0], timeout=5).content == b"small text\n" * 50


def test_signed_url_expires_and_cannot_be_altered(fresh: LoopbackHub) -> None:
    url = location(fresh)
    assert requests.head(url, timeout=5).status_code == 200
    assert requests.head(url.replace("Expires=", "Expires=9"), timeout=5).status_code == 403
    assert requests.head(url.partition("?")[0], timeout=5).status_code == 403
    fresh.advance(3601)
    expired = requests.get(url, timeout=5)
    assert (expired.status_code, b"AccessDenied" in expired.content) == (403, True)
    assert requests.head(location(fresh), timeout=5).status_code == 200


def test_bare_401_without_code(tmp_path: Path) -> None:
    with LoopbackHub(explicit_codes=False) as hub:
        answer = requests.get(f"{hub.url}/api/models/org/absent", timeout=5)
    assert answer.status_code == 401
    assert "X-Error-Code" not in answer.headers


def test_treesize_sums_up_the_files(fresh: LoopbackHub, payload: bytes) -> None:
    size = requests.get(f"{fresh.url}/api/models/org/m/treesize/main", timeout=5).json()["size"]
    assert size == 2 * len(payload) + 550


def test_mirrors_serve_by_themselves_or_send_on(fresh: LoopbackHub, payload: bytes) -> None:
    near, far = fresh.mirror("near"), fresh.mirror("far", own_cdn=True)
    stale = fresh.mirror("stale", repos=[Repo("model", "org/m", {"big.bin": b"old"})])
    echo = fresh.mirror("echo", links_to_origin=True)
    direct = requests.get(f"{near.url}/org/m/resolve/main/big.bin", headers={"Range": "bytes=0-9"}, timeout=5)
    assert (direct.status_code, direct.content, direct.history) == (206, payload[:10], [])
    assert requests.get(f"{far.url}/org/m/resolve/main/big.bin", timeout=5).content == payload
    assert fresh.log.bytes_sent(face="far-cdn") == len(payload)
    assert requests.get(f"{stale.url}/org/m/resolve/main/big.bin", timeout=5).content == b"old"
    for site, base in ((near, near.url), (echo, fresh.url)):
        answer = requests.get(f"{site.url}/api/models/org/m/tree/main", timeout=5)
        assert answer.links["next"]["url"].startswith(base + "/api/")


def test_generated_file_equals_generated_bytes(tmp_path: Path) -> None:
    size = (2 << 20) + 12345
    data = generate(size, seed=3)
    assert len(data) == size
    assert make_file(tmp_path / "made", size, seed=3).read_bytes() == data
    pages = [data[at : at + 4096] for at in range(0, size, 4096)]
    assert len(set(pages)) == len(pages)
    assert generate(4096, seed=4) != data[:4096]


def timed(url: str, session: requests.Session | None = None) -> float:
    begin = time.perf_counter()
    answer = (session or requests).get(url, timeout=30)
    assert answer.status_code == 200
    return time.perf_counter() - begin


def test_rate_per_connection_and_total(fresh: LoopbackHub, payload: bytes) -> None:
    url, cdn = location(fresh), fresh.faces["cdn"]

    def is_as_shaped() -> bool:
        cdn.shape = Shape(rate_per_connection=8 * len(payload))
        one = timed(url)
        with ThreadPoolExecutor(4) as pool:
            four = max(pool.map(timed, [url] * 4))
            cdn.shape = Shape(total_rate=8 * len(payload))
            shared = list(pool.map(timed, [url] * 4))
        # By the arithmetic 1/8 s, 1/8 s and 4/8 s; a busy machine can only be later, and not each time.
        assert one > 0.115
        assert max(shared) > 0.46
        return one < 0.5 and four < 3 * one and max(shared) > 2 * one and min(shared) > 0.6 * max(shared)

    assert until(is_as_shaped, 60)


def test_latency_is_once_per_connection_and_once_per_request(fresh: LoopbackHub) -> None:
    fresh.faces["hub"].shape = Shape(latency_s=0.05)

    def is_once() -> bool:
        with requests.Session() as session:
            first = timed(f"{fresh.url}/api/models/org/m", session)
            later = timed(f"{fresh.url}/api/models/org/m", session)
        assert first > 0.1
        assert later > 0.05
        return later < first

    assert until(is_once)


def test_log_knows_connections_and_undelivered_bytes(fresh: LoopbackHub, payload: bytes) -> None:
    with requests.Session() as session:
        for _ in range(3):
            session.get(f"{fresh.url}/api/models/org/m", timeout=5, headers={"Authorization": "Bearer hf_none"})
    assert fresh.log.connections(face="hub") == 1
    assert fresh.log.tokens() == {"hf_none"}
    fresh.log.reset()
    fresh.faces["cdn"].shape = Shape(rate_per_connection=len(payload))
    with requests.get(location(fresh), stream=True, timeout=5) as answer:
        answer.raw.read(1000)
    assert fresh.log.settle()
    assert 1000 <= fresh.log.bytes_sent(face="cdn") < len(payload)


def test_a_face_that_is_held_sends_no_more_until_it_is_released(fresh: LoopbackHub, payload: bytes) -> None:
    fresh.faces["cdn"].shape = Shape(rate_per_connection=2 * len(payload))
    with requests.get(location(fresh), stream=True, timeout=10) as answer:
        read = answer.raw.read(1000)
        with fresh.held("cdn"):
            sent = fresh.log.bytes_sent(face="cdn")
            assert sent < len(payload)
            read += answer.raw.read(sent - len(read))
            assert len(read) == sent
            # The request is read while its answer waits.
            asked = threading.Thread(target=requests.get, args=[location(fresh)], kwargs={"timeout": 10})
            asked.start()
            assert fresh.log.wait_for(lambda log: len(log.requests(face="cdn")) == 2)
            assert fresh.log.bytes_sent(face="cdn") == sent
        assert read + answer.raw.read() == payload
    asked.join(10)


def test_a_paced_body_is_not_sent_far_ahead_of_a_client_that_does_not_read(fresh: LoopbackHub) -> None:
    fresh.add(Repo("model", "org/long", {"long.bin": generate(32 << 20, 1)}))
    fresh.faces["cdn"].shape = Shape(rate_per_connection=1e9)
    with requests.get(f"{fresh.url}/org/long/resolve/main/long.bin", stream=True, timeout=10):
        assert not fresh.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 2 << 20, 1)


def test_tls_serves_with_the_certificate(payload: bytes, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = make_certificate(tmp_path)
    path = tmp_path / "big.bin"
    path.write_bytes(payload)
    repo = Repo("model", "org/m", {"big.bin": path})
    with LoopbackHub([repo], tls=server_context(certificate, key)) as hub:
        plain = hub.mirror("plain")
        assert (hub.url[:8], hub.cdn_url[:8], plain.url[:7]) == ("https://", "https://", "http://")
        url = f"{hub.url}/org/m/resolve/main/big.bin"
        assert requests.get(url, verify=str(certificate), timeout=5).content == payload
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=5)


def test_a_face_that_is_off_the_net_serves_nobody_whose_handshake_ends_later(payload: bytes, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = make_certificate(tmp_path)
    repo = Repo("model", "org/m", {"big.bin": payload})
    with (
        LoopbackHub([repo], tls=server_context(certificate, key)) as hub,
        socket.create_connection(("127.0.0.1", hub.faces["hub"].port), 10) as early,
    ):
        assert requests.get(f"{hub.url}/api/models/org/m", verify=str(certificate), timeout=5).ok  # it is accepted
        hub.stop_face("hub")
        trusting = ssl.create_default_context(cafile=str(certificate))
        with suppress(OSError), trusting.wrap_socket(early, server_hostname="localhost") as late:
            late.sendall(b"GET /api/models/org/m HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert late.recv(1) == b""
        assert len(hub.log.requests(face="hub")) == 1


def test_a_disabled_repository_is_forbidden(fresh: LoopbackHub) -> None:
    fresh.add(Repo("model", "org/off", {"a": b"a"}, disabled=True))
    answer = requests.get(f"{fresh.url}/api/models/org/off", timeout=5)
    assert answer.status_code == 403
    assert answer.headers["X-Error-Message"] == "Access to this resource is disabled."


def test_no_thread_outlives_the_hub() -> None:
    before = set(threading.enumerate())
    with LoopbackHub([Repo("model", "org/m", {"a": b"a"})]) as hub:
        session = requests.Session()
        session.get(f"{hub.url}/api/models/org/m", timeout=5)
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.ConnectionError):
        session.get(f"{hub.url}/api/models/org/m", timeout=5)
    session.close()


def test_the_hub_runs_as_a_process(tmp_path: Path) -> None:
    state_file, log_file = tmp_path / "state.json", tmp_path / "log.json"
    options = [
        "--model",
        "tiny:256K",
        "--model",
        "big:1M",
        "--mirrors",
        "2",
        "--modelscope",
        "--data",
        str(tmp_path / "data"),
    ]
    command = [sys.executable, "-m", "tests.hub", *options, "--state", str(state_file), "--log", str(log_file)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        try:
            deadline = time.monotonic() + 20
            while not state_file.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            state = json.loads(state_file.read_text())
            assert [repo["name"] for repo in state["repos"]] == ["glm-aria/tiny-demo", "glm-aria/big-demo"]
            for base in (state["url"], *state["mirrors"]):
                assert requests.get(f"{base}/api/models/glm-aria/tiny-demo", timeout=5).status_code == 200
            live = requests.get(f"{state['control_url']}/__log", timeout=5).json()
            assert [exchange["face"] for exchange in live] == ["hub", "mirror-1", "mirror-2"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert len(json.loads(log_file.read_text())) == 3


def test_a_handler_that_fails_fails_the_test() -> None:
    def change(request: Request, reply: Reply) -> Reply:
        raise LookupError("a mistake of the test")

    def ask() -> None:
        with LoopbackHub([]) as hub:
            hub.rewrite(change)
            assert requests.get(f"{hub.url}/api/models/org/m", timeout=5).status_code == 500

    with pytest.raises(AssertionError, match="a mistake of the test"):
        ask()
