"""What peers get of a node, over real connections."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from orchestrator.core.files import Digest
from orchestrator.errors import DiskIOError
from orchestrator.proof.pieces import PIECE
from orchestrator.serve.http.exchange import LEFT
from orchestrator.swarm import wire
from tests.hub.content import generate
from tests.machine.machine import until
from tests.serve.peer.nodes import KEYS, Node, answering
from tests.serve.peer.shelf import Shelf

DATA = generate(3 * PIECE + 1000, 15)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "part", DATA, pieces=(0, 1))


@pytest.fixture
def node(shelf: Shelf) -> Iterator[Node]:
    with answering(shelf) as found:
        yield found


# -- bytes


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 99), (PIECE - 1, PIECE), (100, 2 * PIECE - 1)])
def test_a_range_of_checked_pieces_is_sent(shelf: Shelf, node: Node, first: int, last: int) -> None:
    found = node.range(shelf.digest, f"bytes={first}-{last}")
    assert (found.status, found.is_whole) == (206, True)
    assert found.body == DATA[first : last + 1]
    assert found.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert found.headers["content-length"] == str(last + 1 - first)
    assert found.headers["accept-ranges"] == "bytes"
    assert "etag" not in found.headers


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-",
        f"bytes=0-{2 * PIECE}",
        f"bytes={3 * PIECE}-",
        f"bytes={2 * PIECE}-{2 * PIECE}",
        f"bytes={9 * PIECE}-",
        f"bytes={10**18}-{10**19 - 1}",
        "bytes=-5",
        "bytes=0-0,5-5",
        "bytes=9-5",
        "",
    ],
)
def test_what_is_not_all_checked_is_not_sent_nor_waited_for(shelf: Shelf, node: Node, asked: str) -> None:
    before = time.monotonic()
    found = node.range(shelf.digest, asked)
    assert (found.status, found.body) == (416, b"")
    assert time.monotonic() - before < 5


def test_a_blob_that_is_not_here_is_as_one_of_which_nothing_is_checked(shelf: Shelf, node: Node) -> None:
    other = node.range(Digest.parse("sha256:" + "0" * 64), "bytes=0-5")
    late = node.range(shelf.digest, f"bytes={3 * PIECE}-")
    assert (other.status, other.body, other.headers["content-range"]) == (416, b"", late.headers["content-range"])


def test_a_whole_blob_is_sent_whole(shelf: Shelf, node: Node) -> None:
    shelf.change(2, 3)
    found = node.ask(str(shelf.digest))
    assert (found.status, found.body) == (200, DATA)
    tail = node.range(shelf.digest, "bytes=-1000")
    assert (tail.status, tail.body) == (206, DATA[-1000:])
    # There is one version of what has a digest.
    same = node.ask(str(shelf.digest), headers={"Range": "bytes=1-5", "If-Range": '"x"', "If-None-Match": "*"})
    assert (same.status, same.body) == (206, DATA[1:6])


def test_an_empty_blob_is_sent(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "empty", b"")
    with answering(shelf) as node:
        found = node.ask(str(shelf.digest))
        assert (found.status, found.body) == (200, b"")


def test_head_tells_what_get_would(shelf: Shelf, node: Node) -> None:
    found = node.range(shelf.digest, "bytes=5-9", method="HEAD")
    assert (found.status, found.body, found.headers["content-length"]) == (206, b"", "5")
    assert node.ask(str(shelf.digest), method="HEAD").status == 416


def test_no_descriptor_is_left_open(shelf: Shelf, node: Node) -> None:
    for asked in ("bytes=0-5", f"bytes=0-{2 * PIECE - 1}", "bytes=5-3", "bytes=-1"):
        node.range(shelf.digest, asked)
        node.range(shelf.digest, asked, method="HEAD")
    for descriptor in set(shelf.given):
        with suppress(OSError):  # closed, unless it is something else by now
            assert not os.path.samestat(os.fstat(descriptor), shelf.path.stat())


@pytest.mark.parametrize("when", [1, 2])
def test_bytes_that_are_taken_back_meanwhile_never_come_whole(shelf: Shelf, node: Node, when: int) -> None:
    """Before the first byte they are not there; after it the connection breaks before the last piece."""
    count = iter(range(1, 10))

    def take_back() -> None:
        shelf.taken_back = next(count) >= when

    shelf.on_ask = take_back
    found = node.range(shelf.digest, f"bytes=0-{2 * PIECE - 1}")
    if when == 1:
        assert (found.status, found.body) == (416, b"")
    else:
        assert (found.status, found.is_whole) == (206, False)
        assert len(found.body) < 2 * PIECE


def test_a_file_that_was_cut_short_breaks_the_answer_off(shelf: Shelf, node: Node) -> None:
    shelf.path.write_bytes(DATA[: PIECE + 5])
    found = node.range(shelf.digest, f"bytes=0-{2 * PIECE - 1}")
    assert not found.is_whole


def test_the_real_aria2c_fetches_ranges(shelf: Shelf, node: Node, tmp_path: Path) -> None:
    shelf.change(2, 3)
    ticket = KEYS.ticket(str(shelf.digest), "node-1", time.time(), node.to)
    address = f"http://127.0.0.1:{node.port}/peer/v1/{shelf.digest}?{ticket}"
    program = shutil.which("aria2c")
    assert program
    words = [program, "--no-conf", "-q", "-s4", "-x4", "-k1M", "--min-split-size=1M", "-d", str(tmp_path), "-o", "got"]
    subprocess.run([*words, address], check=True, timeout=60)
    assert (tmp_path / "got").read_bytes() == DATA
    assert all(exchange.caller == "node-1" and exchange.status in (200, 206, LEFT) for exchange in node.seen.exchanges)


# -- turns


def _stalled(node: Node, shelf: Shelf) -> socket.socket:
    """A reader that asks for much and reads nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", node.port))
    ticket = KEYS.ticket(str(shelf.digest), "slow", time.time(), node.to)
    connection.sendall(f"GET /peer/v1/{shelf.digest}?{ticket} HTTP/1.1\r\nHost: {node.to}\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def test_who_finds_no_turn_is_told_to_ask_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "blob", generate(64 << 20, 4))
    with answering(shelf, uploads=2) as node:
        readers = [_stalled(node, shelf) for _ in range(2)]
        busy = node.range(shelf.digest, "bytes=0-5")
        assert (busy.status, busy.headers["retry-after"]) == (429, "1")
        # What needs no bytes needs no turn.
        assert node.ask(str(shelf.digest), method="HEAD").status == 200
        assert node.ask("about").status == 200
        readers.pop().close()
        assert node.range(shelf.digest, "bytes=0-5").status == 206
        readers.pop().close()


def test_who_reads_too_slowly_gives_the_turn_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.serve.peer.uploads._GRACE", 0.5)
    monkeypatch.setattr("orchestrator.serve.peer.uploads._SLOWEST", 1 << 40)
    shelf = Shelf(tmp_path / "blob", generate(64 << 20, 4))
    with answering(shelf, uploads=1) as node:
        reader = _stalled(node, shelf)
        assert node.range(shelf.digest, "bytes=0-5").status == 206
        reader.close()


# -- news


def test_news_are_told_at_once_and_then_when_there_are_some(shelf: Shelf, node: Node) -> None:
    first = wire.parse_news(node.ask("have").body)
    assert (first.node, first.epoch, first.news.version) == ("node-0", 7, 1)
    (held,) = first.news.holdings
    assert list(held.checked) == [0, 1]
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(node.ask, "have?after=1&epoch=7")
        assert shelf.subscribed.wait(10)
        shelf.change(2)
        (held,) = wire.parse_news(poll.result(10).body).news.holdings
    assert list(held.checked) == [0, 1, 2]


def test_a_poll_without_news_ends(shelf: Shelf, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.serve.peer.polls._LONGEST", 0.3)
    found = node.ask("have?after=1&epoch=7")
    assert (found.status, found.body) == (304, b"")
    assert shelf.asked.count("news") == 1


def test_news_of_another_epoch_are_all_news(node: Node) -> None:
    assert wire.parse_news(node.ask("have?after=99&epoch=6").body).news.version == 1


def test_polls_are_answered_no_sooner_than_a_moment_later(shelf: Shelf, node: Node) -> None:
    before = time.monotonic()
    shelf.version = 2
    assert node.ask("have?after=1&epoch=7").status == 200
    assert time.monotonic() - before >= 0.1


def test_many_polls_wait_without_threads_and_are_told_together(shelf: Shelf, node: Node) -> None:
    assert node.ask("have").status == 200
    connections = []
    for number in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        ticket = KEYS.ticket("have", f"node-{number}", time.time(), node.to)
        connection.request("GET", f"/peer/v1/have?after=1&epoch=7&{ticket}")
        connections.append(connection)
    assert threading.active_count() < 40
    asked = shelf.asked.count("news")
    shelf.change(3)
    bodies = set()
    for connection in connections:
        answer = connection.getresponse()
        assert answer.status == 200
        bodies.add(answer.read())
        connection.close()
    assert len(bodies) == 1
    assert shelf.asked.count("news") - asked < 20
    assert len(shelf.calls) == 1


def test_who_waits_is_answered_when_the_node_leaves(shelf: Shelf) -> None:
    with ThreadPoolExecutor() as pool:
        with answering(shelf) as node:
            node.ask("have")
            poll = pool.submit(node.ask, "have?after=1&epoch=7")
            while len(node.seen.exchanges) < 1 or shelf.asked.count("news") < 2:
                time.sleep(0.01)
            before = time.monotonic()
        assert poll.result(10).status == 304
        assert time.monotonic() - before < 2.5
    assert not shelf.calls


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return False
    return True


def test_who_is_given_bytes_gets_the_rest_when_the_node_leaves(tmp_path: Path) -> None:
    data = generate(32 << 20, 9)
    shelf = Shelf(tmp_path / "blob", data)
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        node = stack.enter_context(answering(shelf))
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        ticket = KEYS.ticket(str(shelf.digest), "node-1", time.time(), node.to)
        connection.request("GET", f"/peer/v1/{shelf.digest}?{ticket}")
        answer = connection.getresponse()
        got = answer.read(1000)
        leaving = pool.submit(stack.close)
        assert until(lambda: not _is_listening(node.port))
        assert got + answer.read() == data
        connection.close()
        leaving.result(10)


# -- the other addresses


def test_a_node_says_who_it_is(node: Node) -> None:
    assert json.loads(node.ask("about").body) == {"node": "node-0", "epoch": 7, "zone": "rack-1"}


def test_a_question_is_answered_with_what_is_held_whole(shelf: Shelf, node: Node) -> None:
    other = Digest.parse("sha256:" + "0" * 64)
    question = wire.render_question([shelf.digest, other])
    assert wire.parse_answer(node.ask("have", method="POST", body=question).body).sizes == {}
    shelf.change(2, 3)
    found = wire.parse_answer(node.ask("have", method="POST", body=question).body)
    assert (found.node, found.epoch, found.sizes) == ("node-0", 7, {shelf.digest: len(DATA)})
    assert node.ask("have", method="POST", body=b"[]").status == 400


def test_proven_pieces_are_sent_once_they_are(shelf: Shelf, node: Node) -> None:
    assert node.ask(f"{shelf.digest}/pieces").status == 404
    shelf.list_of_pieces = b"GAP1 and so on"
    assert node.ask(f"{shelf.digest}/pieces").body == b"GAP1 and so on"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "OPTIONS"])
def test_nothing_is_written(shelf: Shelf, node: Node, method: str) -> None:
    assert node.ask(str(shelf.digest), method=method).status == 405


def test_an_error_of_the_disk_names_no_file(shelf: Shelf, node: Node) -> None:
    def fail() -> None:
        raise DiskIOError(f"cannot read {shelf.path}")

    shelf.on_ask = fail
    found = node.range(shelf.digest, "bytes=0-5")
    assert found.status == 503
    assert str(shelf.path).encode() not in found.body
