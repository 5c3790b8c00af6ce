"""Answers of any form from what should be the shared Redis."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.ground import Ground
from tests.servers.threads import serving

HELLO = b"%3\r\n+server\r\n+redis\r\n+version\r\n+8.0.0\r\n+proto\r\n:3\r\n"
PIECES = (
    b"+OK\r\n",
    b":1\r\n",
    b":0\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"_\r\n",
    b",nan\r\n",
    b",inf\r\n",
    b"#t\r\n",
    b"-ERR x\r\n",
    b"*0\r\n",
    HELLO,
    b"*2\r\n$3\r\nuse\r\n$3\r\nnan\r\n",
    b"*2\r\n$1\r\n0\r\n*0\r\n",
    b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\nx\r\n:7\r\n",
    b"*2\r\n$2\r\n99\r\n*1\r\n$-1\r\n",
    b"*3\r\n:1\r\n$1\r\nx\r\n:-1\r\n",
    b"$33\r\nHOST 99999999999999999999 1 x HOST x\r\n",
    b"%1\r\n+a\r\n+nan\r\n",
    b"-NOAUTH x\r\n",
    b"-MOVED 0 127.0.0.1:1\r\n",
    b"*1\r\n" * 2000,
    b"$9999999999\r\n",
    b":99999999999999999999\r\n",
    b"(" + b"9" * 5000 + b"\r\n",
    b"\xff\r\n",
    b"",
)


class Answers(socketserver.ThreadingTCPServer):
    """Answers each command with the next of `pieces`, then over and over with the last.

    With `is_greeting` it first greets the client as a Redis does, or nothing behind that would ever be met. A client
    that asks nothing more for `patience` seconds, because it waits for the rest of an answer, is hung up on.
    """

    allow_reuse_address = daemon_threads = True
    pieces: tuple[bytes, ...] = (b"",)
    is_greeting = False
    patience = 0.0
    told = 0
    """Pieces sent after a greeting."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/0"


class _Answer(socketserver.StreamRequestHandler):
    server: Answers

    def handle(self) -> None:
        index = 0
        self.request.settimeout(self.server.patience)
        try:
            while index < 2000 and (words := _command(self.rfile)):
                if self.server.is_greeting and words[0] in (b"HELLO", b"CLIENT", b"SELECT"):
                    self.wfile.write(HELLO if words[0] == b"HELLO" else b"+OK\r\n")
                    continue
                self.wfile.write(self.server.pieces[min(index, len(self.server.pieces) - 1)])
                self.server.told += self.server.is_greeting
                index += 1
        except (OSError, ValueError):
            return


def _command(stream: BufferedIOBase) -> list[bytes]:
    """The words of one command as clients send it, an array of strings with lengths; none at the end."""
    words = []
    for _ in range(int(stream.readline()[1:] or b"0")):
        length = int(stream.readline()[1:])
        words.append(stream.read(length + 2)[:-2])
    return words


@pytest.fixture
def answers() -> Iterator[Answers]:
    with serving(Answers(("127.0.0.1", 0), _Answer)) as server:
        yield server


def test_redis_answers(ground: Ground, answers: Answers) -> None:
    text = st.text(max_size=20).map(lambda text: text.replace("\n", "").replace("\r", "").encode("utf-8", "replace"))
    piece = st.one_of(st.sampled_from(PIECES), st.binary(max_size=20), text.map(lambda line: b"+%b\r\n" % line))
    commands = (("pull", "org/m", "--cache-dir", "new"), ("cache", "ls", "--nodes"), ("cache", "gc", "--yes"))
    # A few times half an answer is all that comes, for as long as the program waits.
    manners = st.tuples(st.sampled_from((True, True, True, False)), st.sampled_from((*[0.05] * 30, 10)))
    cases = st.tuples(st.sampled_from(commands), st.lists(piece, min_size=1, max_size=8), manners)

    def check(case: Any) -> None:
        words, pieces, (answers.is_greeting, answers.patience) = case
        answers.pieces = tuple(pieces)
        ground.holds(*words, GLM_ARIA_SHARED_REDIS=answers.url)

    ground.explore(cases, check)
    assert answers.told >= ground.cases / 3, "most cases ended before anything odd was answered"
