"""A real Prometheus on loopback, with a configuration and a folder of a test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.machine.machine import until
from tests.servers.ports import free_port


class Prometheus:
    """A Prometheus that runs, and is asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        found = json.loads(self._get(f"api/v1/{path}?{urlencode(query)}"))
        assert found["status"] == "success", found
        return found["data"]

    def values(self, query: str) -> list[float]:
        """The values of a query now."""
        return [float(sample["value"][1]) for sample in self.ask("query", query=query)["result"]]

    def is_ready(self) -> bool:
        try:
            return bool(self._get("-/ready"))
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        with build_opener(ProxyHandler({})).open(f"{self.url}/{path}", timeout=20) as answer:
            return bytes(answer.read())


@contextmanager
def prometheus(config: Path, folder: Path, *more: str) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.skip("there is no prometheus")
    port = free_port()
    words = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", *more]  # fmt: skip
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        made = Prometheus(port)
        assert until(made.is_ready, 60)
        yield made
    finally:
        process.terminate()
        process.wait(30)
