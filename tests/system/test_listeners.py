"""Who listens on a port of loopback: a process of ours, somebody else, or nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.system import listeners
from orchestrator.system.listeners import Holder, Listener, holder
from orchestrator.system.processes import Process, started

LISTEN = """
import socket, sys
listener = socket.socket()
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listen(stack: ExitStack, address: str, port: int = 0) -> tuple[int, int]:
    """A process that listens; its pid and the port."""
    words = [sys.executable, "-c", LISTEN, address, str(port)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout
    return process.pid, int(process.stdout.readline())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture(params=["proc", "lsof"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How this system shows who listens."""
    way: str = request.param
    if way == "lsof":
        if not listeners.shutil.which("lsof"):  # type: ignore[attr-defined]
            pytest.skip("lsof is not installed")
        monkeypatch.setattr(listeners, "_TABLE", Path("/nonexistent"))
    return way


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_process_that_listens_is_known(stack: ExitStack, way: str, address: str) -> None:
    pid, port = listen(stack, address)
    other, _ = listen(stack, "127.0.0.1")
    if way == "proc" or address == "127.0.0.1":
        assert holder(pid, port) is Holder.OURS
    assert holder(other, port) in (Holder.STRANGER, Holder.NOBODY)
    assert holder(os.getpid(), port) in (Holder.STRANGER, Holder.NOBODY)


def test_a_bound_port_is_not_listening(way: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound is not listening
        assert holder(os.getpid(), bound.getsockname()[1]) is Holder.NOBODY


def test_on_ipv6_alone_is_not_listening(stack: ExitStack, way: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::1", 0))
        listener.listen()
        assert holder(os.getpid(), listener.getsockname()[1]) is Holder.NOBODY


def test_an_established_connection_is_no_listener(stack: ExitStack, way: str) -> None:
    _, port = listen(stack, "127.0.0.1")
    with socket.create_connection(("127.0.0.1", port)) as mine:
        assert holder(os.getpid(), mine.getsockname()[1]) is Holder.NOBODY


def test_a_process_that_has_ended(stack: ExitStack, way: str) -> None:
    _, port = listen(stack, "127.0.0.1")
    assert holder(4194305, port) in (Holder.STRANGER, Holder.NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_a_listener_of_another_user_is_never_ours() -> None:
    """Seen by a user who may not look at the other's descriptors."""
    code = (
        "import os, sys\n"
        "from orchestrator.system.listeners import holder\n"
        "os.setresuid(65534, 65534, 65534)\n"
        "print(holder(int(sys.argv[1]), int(sys.argv[2])).value)"
    )
    with ExitStack() as stack:
        pid, port = listen(stack, "127.0.0.1")
        words = [sys.executable, "-c", code, str(pid), str(port)]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
        assert done.stdout == "stranger\n"


def test_where_nothing_can_be_known_the_process_counts(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "_TABLE", Path("/nonexistent"))
    monkeypatch.setattr(listeners.shutil, "which", lambda _name: None)  # type: ignore[attr-defined]
    pid, port = listen(stack, "127.0.0.1")
    assert holder(pid, port) is Holder.UNKNOWN
    assert Listener(Process(pid, started(pid), "127.0.0.1"), port).is_proven
    assert not Listener(Process(pid, "1", "127.0.0.1"), port).is_proven
