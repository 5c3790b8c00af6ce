"""What somebody else writes into the shared Redis, or answers in its place: at worst no answer, never an exception."""

from __future__ import annotations

import os
import socketserver
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cache.claims import Grant
from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import TemporaryError
from orchestrator.events import Event, Notice
from orchestrator.shared.leases import Leases
from orchestrator.shared.nodes import uses
from orchestrator.shared.redis import SharedRedis
from tests.servers.redis import RedisServer
from tests.servers.threads import serving

ONE = Digest(Algorithm.SHA256, "1" * 64)
SCOPE = "scope"
PREFIX = f"glm-aria:{{{SCOPE}}}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def line(server: RedisServer) -> Iterator[SharedRedis]:
    server.client.flushall()
    line = SharedRedis(server.url, lambda _event: None, SCOPE)
    yield line
    line.close()


HOST = os.uname().nodename


@pytest.mark.parametrize(
    "last",
    [f"1|{HOST} {'9' * 20} 1 x", f"1|{HOST} -1 1 x", f"1|{HOST} x 1 x", f"1|{HOST} 1", "|", "", "x", b"\xff|\xfe"],
)
def test_who_had_the_lease_before(server: RedisServer, line: SharedRedis, last: str | bytes) -> None:
    server.client.set(f"{PREFIX}:last:{ONE.hex}", last)
    leases = Leases(line)
    assert leases.take(ONE) in (Grant.YES, Grant.NEW_PART)
    assert leases.is_ours(ONE)
    leases.give_back(ONE)
    leases.close()


@pytest.mark.parametrize("key", ["lease", "last", "fence"])
@pytest.mark.parametrize("kind", ["a list", "a text", "bytes"])
def test_keys_of_another_kind(server: RedisServer, line: SharedRedis, key: str, kind: str) -> None:
    name = f"{PREFIX}:fence" if key == "fence" else f"{PREFIX}:{key}:{ONE.hex}"
    if kind == "a list":
        server.client.rpush(name, "x")
    else:
        server.client.set(name, "x" if kind == "a text" else b"\xff")
    leases = Leases(line)
    assert leases.take(ONE) in Grant
    assert leases.is_ours(ONE) in (True, False)
    leases.close()


@pytest.mark.parametrize("moment", ["nan", "inf", "-inf", "1e308", "-1", "253402300800", "x", "", "1" * 5000])
def test_no_moment_of_a_last_use(server: RedisServer, line: SharedRedis, moment: str) -> None:
    server.client.hset(f"{PREFIX}:use", mapping={"node org/a@main": moment, "node org/b@main": "1700000000.5"})
    (a, b) = uses(line)
    assert (a.last_use, b.last_use) == (None, 1700000000.5)


@pytest.mark.parametrize("told", ["[" * 100_000, '{"a": 1}', "[1, null, {}]", "nan", ""])
def test_what_a_run_tells(server: RedisServer, line: SharedRedis, told: str) -> None:
    server.client.set(f"{PREFIX}:run:node:1", told)
    assert uses(line) == ()


class Liar(socketserver.ThreadingTCPServer):
    """Takes any command, and gives one reply, in Redis' own protocol, to all but the greeting."""

    daemon_threads = True

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        super().__init__(("127.0.0.1", 0), _Talk)


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2].upper())
            assert isinstance(self.server, Liar)
            if words[0] == b"HELLO":
                self.wfile.write(b"-ERR unknown command\r\n")
            else:
                self.wfile.write(b"+OK\r\n" if words[0] in (b"AUTH", b"CLIENT", b"SELECT") else self.server.reply)


@pytest.mark.parametrize(
    "reply",
    [b":7\r\n", b":0\r\n", b"+text\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"*1\r\n:1\r\n", b"*2\r\n+a\r\n+b\r\n",
     b"*2\r\n:1\r\n:1\r\n", b"*2\r\n:1\r\n*0\r\n", b"*3\r\n:1\r\n+\r\n+\r\n", b"$2\r\n\xff\xfe\r\n", b"-ERR no\r\n",
     b"?\r\n", b":x\r\n", b":" + b"9" * 5000 + b"\r\n", b"*1\r\n" * 5000 + b":1\r\n", b"%1\r\n+a\r\n+b\r\n",
     b"_\r\n", b"#t\r\n"],
    ids=range(20),
)  # fmt: skip
def test_one_that_answers_anything(reply: bytes, tmp_path: Path) -> None:
    said: list[Event] = []
    with serving(Liar(reply)) as liar:
        line = SharedRedis(
            f"redis://:secret-canary@127.0.0.1:{liar.server_address[1]}/0?protocol=2", said.append, SCOPE
        )
        leases = Leases(line)
        assert leases.take(ONE) is Grant.YES
        assert leases.is_ours(ONE) in (True, False)
        leases.close()
        try:
            assert uses(line) == ()
        except TemporaryError as error:
            said.append(Notice("error", error.message))
        assert "secret-canary" not in str(said)
        line.close()
