"""A server that is asked anything by anybody: nothing worse than a 4xx comes back, and it goes on."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.ground import FILES, Ground
from tests.fuzz.requests import Sent, exchanged, raw, statuses, whole
from tests.hub.loopback import Site
from tests.machine.machine import Machine
from tests.serve.servers import Server


@dataclass
class Trap:
    """A listener of a third party: whoever is led to it connects."""

    address: str
    callers: list[Any] = field(default_factory=list)


@contextmanager
def trap() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Trap(f"127.0.0.1:{listener.getsockname()[1]}")

        def listen() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                made.callers.append(address)
                connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@dataclass
class Attacked:
    """A server with the good model, and the third party."""

    server: Server
    trap: Trap

    def is_right(self) -> None:
        """It serves as if nothing had happened."""
        for path, content in FILES.items():
            request = f"GET /org/m/resolve/main/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer, _ = exchanged(self.server.url, request.encode(), is_whole=True)
            assert answer.partition(b"\r\n\r\n")[2] == content, answer[:300]


@pytest.fixture(scope="module")
def scope(ground: Ground) -> Site:
    return ground.hub.modelscope()


@pytest.fixture
def attacked(ground: Ground, scope: Site, tmp_path: Path) -> Iterator[Attacked]:
    machine = Machine(tmp_path / "machine", "", root=ground.hub.url)
    key = {"GLM_ARIA_FLEET_KEY": "a-key-of-a-fleet-for-tests"}
    server = Server.start(machine, "--mirror", f"modelscope+{scope.url}", env=key)
    with trap() as somebody:
        made = Attacked(server, somebody)
        made.is_right()
        yield made
        made.is_right()
        result = server.stop()
        said = result.out + result.err
        assert "Traceback" not in said, said
        assert "request-failed" not in said, said
        assert "a request failed" not in said, said
        assert not somebody.callers, "a request led the server to somebody else"
        assert not [seen for seen in ground.hub.log.requests() if somebody.address in str(seen.headers)]


def test_requests_of_the_right_form(ground: Ground, attacked: Attacked) -> None:
    def check(case: object) -> None:
        assert isinstance(case, Sent)
        answer, has_ended = exchanged(attacked.server.url, case.raw, is_whole=case.is_whole)
        assert has_ended, f"no end of {case.raw[:500]!r}"
        found = statuses("HEAD" if case.method == "HEAD" else "GET", answer) if answer else []
        assert all(status < 500 for status in found), f"{found} for {case.raw[:500]!r}: {answer[:500]!r}"
        assert len(re.findall(rb"X-Evil", answer)) == 0
        if not ground.cases % 50:
            attacked.is_right()

    ground.explore(whole(attacked.trap.address), check, is_fresh=False)


def test_requests_of_any_form(ground: Ground, attacked: Attacked) -> None:
    def check(case: object) -> None:
        assert isinstance(case, bytes)
        answer, has_ended = exchanged(attacked.server.url, case, is_whole=False)
        assert has_ended, f"no end of {case!r}"
        assert not re.search(rb"^HTTP/1.1 5", answer, re.MULTILINE), f"{answer[:500]!r} for {case!r}"
        if not ground.cases % 50:
            attacked.is_right()

    ground.explore(raw(), check, is_fresh=False)
