"""A real redis-server of a test's own, on a port of loopback, with a password and without a disk."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.servers.ports import free_port


class RedisServer:
    """A context manager; may be killed, held still and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.password = "canary" + secrets.token_hex(12)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Any:
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        conf = f"port {self.port}\nbind 127.0.0.1\nrequirepass {self.password}\nsave ''\nappendonly no\n"
        read, write = os.pipe()
        with os.fdopen(write, "wb") as out:
            out.write(conf.replace("''", '""').encode())
        try:
            self._process = subprocess.Popen(
                ["redis-server", "-"],
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
            )
        finally:
            os.close(read)
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 500)
        errors = [redis.ConnectionError, redis.exceptions.BusyLoadingError]
        with redis.Redis.from_url(self.url, retry=retry, retry_on_error=errors) as client:
            assert client.ping()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def hold(self) -> None:
        """Held still, it takes connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Held no longer."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)
