"""A service manager that listens, as systemd does."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WAIT = 30.0
"""Seconds for words that are expected."""


class Manager:
    """The socket of a service manager, and the words that came there."""

    def __init__(self, path: Path) -> None:
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(_WAIT)
        self._heard: list[str] = []

    def until(self, *words: str) -> None:
        """Wait until all of these were heard in this order."""
        deadline = time.monotonic() + _WAIT
        for word in words:
            while word not in self._heard:
                assert time.monotonic() < deadline, f"not heard: {word}, after {self._heard[-9:]}"
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
