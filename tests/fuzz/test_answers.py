"""Listings and Redis answers of any form."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.ground import LONG_SLOW, Ground
from tests.support.wire import Reply, Request

PATHS = (
    "../../outside/config.json",
    "/etc/x",
    ".git/config",
    "a\\b",
    "CON",
    "a:b",
    "x.",
    "config.json/x",
    "Config.json",
    "",
    ".",
    "a//b",
    "a" * 300,
    "\u202e",
    "e\u0301",
    "\x1b[2J",
    "-rf",
    "sub/../x",
    "glm-aria.toml",
    "a\nb",
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(PATHS),
    st.sampled_from(("0" * 40, "f" * 64, -1, 1 << 63, 1 << 70, 10**30)),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


class Wound:
    """Where a listing is changed, and into what: a walk down the document that a list of numbers steers."""

    def __init__(self, steps: list[int], value: Any) -> None:
        self.steps, self.value = steps, value

    def __repr__(self) -> str:
        return f"Wound({self.steps}, {self.value!r})"

    def apply(self, document: Any, depth: int = 0) -> Any:
        """The document with `value` at the end of the walk."""
        if depth >= len(self.steps) or not isinstance(document, dict | list) or not document:
            return self.value
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = keys[self.steps[depth] % len(keys)]
        copy = document.copy()
        copy[key] = self.apply(document[key], depth + 1)
        return copy


def test_listings(ground: Ground) -> None:
    wounds: list[Wound] = []

    def change(request: Request, reply: Reply) -> Reply:
        if "/api/" not in request.path or not wounds or not isinstance(reply.body, bytes):
            return reply
        try:
            document = json.loads(reply.body)
        except ValueError:
            return reply
        for wound in wounds:
            document = wound.apply(document)
        return replace(reply, body=json.dumps(document).encode())

    ground.hub.rewrite(change)
    wound = st.builds(Wound, st.lists(st.integers(0, 9), min_size=1, max_size=4), SCALARS | JSON)
    commands = (
        ("plan",),
        ("pull",),
        ("pull", "--local-dir", "here"),
        ("pull", "--trust", "commit"),
        ("pull", "--lock", "l"),
    )
    cases = st.tuples(st.sampled_from(commands), st.lists(wound, min_size=1, max_size=2), st.booleans())

    def check(case: Any) -> None:
        (command, *options), wounds[:], is_new = case
        if is_new:
            options += ["--cache-dir", str(ground.machine.work / "hub")]
        ground.holds(command, "org/m", *options)

    ground.explore(cases, check, most=LONG_SLOW)


class Answers(socketserver.ThreadingTCPServer):
    """A server that answers each read with the next of `pieces`, and then over and over with the last."""

    allow_reuse_address = daemon_threads = True
    pieces: tuple[bytes, ...] = (b"",)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/0"


class _Answer(socketserver.BaseRequestHandler):
    server: Answers

    def handle(self) -> None:
        index = 0
        try:
            while self.request.recv(65536) and index < 2000:
                self.request.sendall(self.server.pieces[min(index, len(self.server.pieces) - 1)])
                index += 1
        except OSError:
            return


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_redis_answers(ground: Ground, answers: Answers) -> None:
    hello = b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
    piece = st.one_of(
        st.sampled_from(
            (
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
                hello,
                b"*2\r\n$3\r\nuse\r\n$3\r\nnan\r\n",
                b"$33\r\nHOST 99999999999999999999 1 x HOST x\r\n",
                b"%1\r\n+a\r\n+nan\r\n",
                b"-NOAUTH x\r\n",
                b"*1\r\n" * 2000,
                b"$9999999999\r\n",
                b":99999999999999999999\r\n",
                b"(" + b"9" * 5000 + b"\r\n",
                b"\xff\r\n",
                b"",
            )
        ),
        st.binary(max_size=20),
        st.text(max_size=20).map(
            lambda text: b"+" + text.replace("\n", "").replace("\r", "").encode("utf-8", "replace") + b"\r\n"
        ),
    )
    commands = (("pull", "org/m", "--cache-dir", "new"), ("cache", "ls", "--nodes"), ("cache", "gc", "--yes"))
    cases = st.tuples(st.sampled_from(commands), st.lists(piece, min_size=1, max_size=8), st.booleans())

    def check(case: Any) -> None:
        words, pieces, is_greeted = case
        # Most cases get past the greeting of redis-py, or nothing behind it would ever be met.
        answers.pieces = (hello, b"+OK\r\n", b"+OK\r\n", *pieces) if is_greeted else tuple(pieces)
        ground.holds(*words, GLM_ARIA_SHARED_REDIS=answers.url)

    ground.explore(cases, check, most=LONG_SLOW)
