"""What a scheduler and a node tell a service manager."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine.machine import Machine
from tests.swarm.control.processes import SchedulerProcess, belong


class Manager:
    """The socket of a service manager, and the words that came there."""

    def __init__(self, path: Path) -> None:
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(20)
        self._heard: list[str] = []

    def until(self, *words: str) -> None:
        """Wait until all of these were heard in this order."""
        for word in words:
            while word not in self._heard:
                self._heard += self._socket.recv(4096).decode().splitlines()
            del self._heard[: self._heard.index(word) + 1]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def managed(path: Path) -> Iterator[Manager]:
    manager = Manager(path)
    try:
        yield manager
    finally:
        manager.close()


def test_both_say_that_they_are_ready_live_and_stop(machine: Machine, tmp_path: Path) -> None:
    belong(machine)
    with managed(tmp_path / "of-scheduler") as first, managed(tmp_path / "of-node") as second:
        scheduler = SchedulerProcess.start(machine, env=first.env)
        first.until("READY=1", "WATCHDOG=1", "STATUS=0 nodes connected, 0 tasks under way")
        words = ("node", "--scheduler", scheduler.address, "--listen", "127.0.0.1:0", "--no-mirrors")
        node = machine.start(*words, "--root", "http://127.0.0.1:9", env=second.env)
        second.until("READY=1", "WATCHDOG=1", "STATUS=waits for tasks, 0 tasks done", "WATCHDOG=1")
        first.until("STATUS=1 node connected, 0 tasks under way")
        node.signal(15)
        second.until("STOPPING=1")
        node.end(20).ended(0)
        scheduler.stop()
        first.until("STOPPING=1")
