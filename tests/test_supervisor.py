"""Words to a service manager, which are datagrams to a socket of its own, and the socket that it hands over."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.supervisor import handed_socket, tell, watchdog_seconds


@pytest.mark.parametrize("name", ["file", "abstract"])
def test_each_word_is_a_line_of_one_datagram(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    address = path if name == "file" else "@" + path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        assert tell("READY=1", "STATUS=a\nb", environment={"NOTIFY_SOCKET": address})
        assert manager.recv(100) == b"READY=1\nSTATUS=a b"


def test_a_manager_that_is_busy_is_told_again_later(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(environment["NOTIFY_SOCKET"])
        manager.setblocking(False)
        assert all(tell(f"STATUS={number}", environment=environment) for number in range(2000))
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(manager.recv(100))
        assert len(heard) < 2000, "the queue of a socket has a bound"
        assert tell("WATCHDOG=1", environment=environment)
        assert manager.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_manager_nothing_is_told(environment: dict[str, str]) -> None:
    assert not tell("READY=1", environment=environment)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "1" * 5000}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_of_this_process_alone_is_fed(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environment) == seconds


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "one"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1" * 5000},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"},
    ],
)
def test_only_one_socket_for_this_process_is_taken(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        handed_socket(environment)
