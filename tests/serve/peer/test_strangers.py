"""Who has no ticket learns nothing, and who has one gets what it is for."""

from __future__ import annotations

import logging
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.serve.pages.access_log import line_of
from orchestrator.swarm.tickets import LIFE, MOST_AHEAD, PROOF, FleetKeys
from tests.hub.content import generate
from tests.serve.peer.nodes import CANARY, KEYS, Answer, Node, answering
from tests.serve.peer.shelf import Shelf

DATA = generate(PIECE + 1000, 16)
UNKNOWN = Digest.parse("sha256:" + "0" * 64)
STRANGE = FleetKeys.parse("another-fleet-0123456789")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "blob", DATA)


@pytest.fixture
def node(shelf: Shelf) -> Iterator[Node]:
    with answering(shelf) as found:
        yield found


def assert_nothing(found: Answer) -> None:
    assert (found.status, found.body) == (403, b"")
    assert set(found.headers) <= {"date", "cache-control", "content-length", "connection"}


# What a stranger may not even see the difference of. Ten of them are answered before 429 is.
PATHS = ["have", "about", "{digest}", "{digest}/pieces", f"{UNKNOWN}", "nothing", "../../etc/passwd", "%2e%2e/have"]


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_gets_the_same_for_every_address(shelf: Shelf, node: Node, path: str) -> None:
    for ticket in ("", "n=a&e=9999999999&t=" + "A" * 22, "n=&e=&t="):
        assert_nothing(node.ask(path.format(digest=shelf.digest), ticket=ticket))
    assert_nothing(node.ask(path.format(digest=shelf.digest), keys=STRANGE))
    assert_nothing(node.ask(path.format(digest=shelf.digest), method="DELETE", ticket=""))
    assert not shelf.asked


@pytest.mark.parametrize("address", ["/", "/metrics", "/api/models/org/m", "/peer/v1", "//peer/v1/have", "/-/events"])
def test_a_node_has_no_other_address(node: Node, address: str) -> None:
    assert_nothing(node.get(address))


@pytest.mark.parametrize("ends", [-1, 1 - LIFE - 60, MOST_AHEAD - LIFE + 60, 10**9])
def test_a_ticket_of_another_time_opens_nothing(shelf: Shelf, node: Node, ends: int) -> None:
    assert_nothing(node.ask(str(shelf.digest), now=time.time() + ends + (0 if ends > 0 else -LIFE)))


def test_a_ticket_of_something_else_opens_nothing(shelf: Shelf, node: Node) -> None:
    """Also a ticket that somebody saw on the way."""
    for subject in (str(UNKNOWN), "have", "about", f"{shelf.digest}/pieces"):
        assert_nothing(node.ask(str(shelf.digest), subject=subject))
    assert_nothing(node.ask("have", subject=str(shelf.digest)))
    assert_nothing(node.ask("have", method="POST", body=b"{}", subject="about"))


def test_a_ticket_of_another_node_opens_nothing(shelf: Shelf, node: Node) -> None:
    ticket = KEYS.ticket(str(shelf.digest), "node-1", time.time(), node.to)
    assert_nothing(node.ask(str(shelf.digest), ticket=ticket.replace("node-1", "node-2")))
    assert node.ask(str(shelf.digest), ticket=ticket).status == 200


def test_a_stranger_who_tries_often_is_put_off_and_a_node_at_its_address_is_not(shelf: Shelf, node: Node) -> None:
    statuses = [node.ask("about", keys=STRANGE).status for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert node.ask("about", keys=STRANGE).headers["retry-after"].isdecimal()
    assert node.ask("about").status == 200


def test_all_keys_of_a_node_are_believed(shelf: Shelf) -> None:
    both = FleetKeys(KEYS.keys + STRANGE.keys)
    with answering(shelf, both) as node:
        assert node.ask("about").status == 200
        assert node.ask("about", keys=STRANGE).status == 200


def test_a_stranger_cannot_tell_by_the_clock_what_is_here(shelf: Shelf, node: Node) -> None:
    """No look at what is held comes before the ticket; the times of both kinds overlap."""
    times: dict[Digest, list[float]] = {shelf.digest: [], UNKNOWN: []}
    for _ in range(100):
        for digest, seconds in times.items():
            before = time.perf_counter()
            node.ask(str(digest), keys=STRANGE)
            seconds.append(time.perf_counter() - before)
    known, unknown = times.values()
    assert statistics.median(known) < max(unknown)
    assert statistics.median(unknown) < max(known)
    assert not shelf.asked


@pytest.mark.parametrize(
    "header",
    ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
)
def test_requests_that_can_be_read_in_two_ways_are_refused(shelf: Shelf, node: Node, header: str) -> None:
    ticket = KEYS.ticket(str(shelf.digest), "node-1", time.time(), node.to)
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as connection:
        connection.sendall(
            f"GET /peer/v1/{shelf.digest}?{ticket} HTTP/1.1\r\nHost: {node.to}\r\n{header}\r\n\r\n".encode()
        )
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_a_ticket_for_another_peer_opens_nothing(shelf: Shelf, node: Node) -> None:
    """Who only pretends to be a peer, by mDNS say, is shown tickets for itself; a real peer takes none of them."""
    for to in ("192.0.2.1:8092", "evil.example", f"evil.example:{node.port}", "127.0.0.1:1", "127.0.0.1"):
        assert_nothing(node.ask("have", to=to))
        assert_nothing(node.ask("have", to=to, headers={"Host": to}))
    assert not shelf.asked


@pytest.mark.parametrize("name", ["localhost", "{host}", "{host}.in.some.domain", "nat.example", "NAT.example"])
def test_a_node_has_names(shelf: Shelf, name: str) -> None:
    host = name.format(host=os.uname().nodename.partition(".")[0])
    with answering(shelf, hosts=("nat.example",)) as node:
        to = f"{host}:{node.port}"
        assert node.ask("about", to=to.lower(), headers={"Host": to}).status == 200
        at_another_port = node.ask("about", to=f"{host}:1".lower(), headers={"Host": f"{host}:1"})
        assert at_another_port.status == (200 if "nat" in name.lower() else 403)


def test_who_answers_proves_to_have_the_key(shelf: Shelf, node: Node) -> None:
    for path, method in (("have", "GET"), ("about", "GET"), ("have", "POST")):
        ticket = KEYS.ticket(path, "node-1", time.time(), node.to)
        found = node.ask(path, method=method, body=b'{"digests": []}' if method == "POST" else None, ticket=ticket)
        assert KEYS.is_proof(ticket, found.headers[PROOF.lower()])
        other = KEYS.ticket(path, "node-2", time.time(), node.to)
        assert not KEYS.is_proof(other, found.headers[PROOF.lower()])
        assert not STRANGE.is_proof(ticket, found.headers[PROOF.lower()])
    assert PROOF.lower() not in node.ask("have", keys=STRANGE).headers


@pytest.mark.parametrize("asked", ["bytes=0-" + "9" * 19, "bytes=" + "9" * 19 + "-", "bytes=0-" + "9" * 4000, "x"])
def test_a_huge_range_costs_nothing(shelf: Shelf, node: Node, asked: str) -> None:
    found = node.range(shelf.digest, asked)
    assert found.status in (200, 206, 416)
    assert found.body in (b"", DATA)


@given(
    path=st.sampled_from(["have", "about", "{digest}", "{digest}/pieces"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "BREW"]),
    query=st.text(alphabet="after=&epoch0179-%zn;+", max_size=40),
    asked=st.text(alphabet="bytes=-,0123456789 ", max_size=40),
    body=st.one_of(st.none(), st.binary(max_size=200), st.just(b"[" * 50_000)),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_node_may_ask_anything(
    path: str, method: str, query: str, asked: str, body: bytes | None, shelf: Shelf, node: Node
) -> None:
    name = path.format(digest=shelf.digest)
    headers = {"Range": f"bytes={asked}" if len(asked) % 2 else asked}
    ticket = KEYS.ticket(name.removesuffix("/pieces"), "node-1", time.time(), node.to)
    body = body if method in ("POST", "PUT") else None
    found = node.ask(f"{name}?{query}" if query else name, method=method, body=body, ticket=ticket, headers=headers)
    assert found.status < 500
    assert found.is_whole
    assert not node.events


def test_a_body_that_is_too_long_is_refused(node: Node) -> None:
    found = node.ask("have", method="POST", body=b" " * (1 << 20) + b"{}")
    assert found.status == 413


def test_idle_polls_of_many_nodes_cost_no_thread_and_harm_nobody(shelf: Shelf, node: Node) -> None:
    node.ask("have")
    connections = []
    before = threading.active_count()
    for number in range(400):
        connection = socket.create_connection(("127.0.0.1", node.port), timeout=20, source_address=("127.0.0.2", 0))
        ticket = KEYS.ticket("have", f"node-{number}", time.time(), node.to)
        connection.sendall(f"GET /peer/v1/have?after=1&epoch=7&{ticket} HTTP/1.1\r\nHost: {node.to}\r\n\r\n".encode())
        connections.append(connection)
    # One address has had its share of connections by now.
    assert node.range(shelf.digest, "bytes=0-99").status == 206
    assert threading.active_count() <= before + 12
    for connection in connections:
        connection.close()


def test_one_node_does_not_take_all_that_there_is(shelf: Shelf, node: Node) -> None:
    node.ask("have")
    connections = []
    ticket = KEYS.ticket("have", "greedy", time.time(), node.to)
    for _ in range(128):
        connection = socket.create_connection(("127.0.0.1", node.port), timeout=20)
        connection.sendall(f"GET /peer/v1/have?after=1&epoch=7&{ticket} HTTP/1.1\r\nHost: {node.to}\r\n\r\n".encode())
        connections.append(connection)
    deadline = time.monotonic() + 20
    while node.ask("about", node="greedy").status != 429:
        assert time.monotonic() < deadline
    assert node.ask("about", node="modest").status == 200
    for connection in connections:
        connection.close()


def test_another_file_in_the_place_of_a_blob_is_not_sent(shelf: Shelf, node: Node) -> None:
    """It is opened once, and that file is read."""

    def replace() -> None:
        other = shelf.path.with_name("other")
        other.write_bytes(b"X" * len(DATA))
        os.replace(other, shelf.path)  # noqa: PTH105

    shelf.on_ask = replace
    assert node.ask(str(shelf.digest)).body == DATA


def test_the_key_is_seen_nowhere(shelf: Shelf, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def fail() -> None:
        raise RuntimeError(f"a bug at {shelf.path}")

    answers = [node.ask("have"), node.ask("about", keys=STRANGE), node.range(shelf.digest, "bytes=0-5")]
    shelf.on_ask = fail
    answers.append(node.range(shelf.digest, "bytes=0-5"))
    assert answers[-1].status == 500
    tickets = KEYS.ticket("have", "node-1", time.time(), node.to).rpartition("t=")[2]
    told = [str(answer.headers) + answer.body.decode("latin-1") for answer in answers]
    told += [line_of(exchange, 0.0).decode() for exchange in node.seen.exchanges]
    told += [repr(exchange) for exchange in node.seen.exchanges] + [repr(node.events), caplog.text, repr(KEYS)]
    assert not any(CANARY in text or tickets in text or "&t=" in text for text in told)
    # No word of what went wrong goes to a peer.
    assert str(shelf.path) not in told[3]
