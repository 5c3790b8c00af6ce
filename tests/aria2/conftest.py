"""A runtime folder, a started aria2c, and blobs of the loopback hub as jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.aria2.daemon import PrivateDaemon
from orchestrator.aria2.endpoint import Download, Endpoint
from orchestrator.aria2.options import download_options
from orchestrator.aria2.rpc import Rpc


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    return tmp_path / "runtime"


@pytest.fixture
def daemon(runtime: Path) -> Iterator[PrivateDaemon]:
    with PrivateDaemon(runtime, concurrency=64) as made:
        yield made


@pytest.fixture
def endpoint(daemon: PrivateDaemon) -> Endpoint:
    return daemon.start()


@pytest.fixture
def make_rpc() -> Iterator[Callable[..., Rpc]]:
    with ExitStack() as stack:

        def make(endpoint: Endpoint, timeout: float = 10) -> Rpc:
            rpc = Rpc(endpoint, timeout=timeout)
            stack.callback(rpc.close)
            return rpc

        yield make


def paused(path: Path, *, url: str = "http://127.0.0.1:9/x", is_ours: bool = True) -> Download:
    """A download into `path` that does not begin."""
    return Download(path.name, 9, url, download_options(path.parent, is_ours=is_ours) | {"pause": "true"})


def holds_nothing(rpc: Rpc) -> bool:
    """True when the daemon has no download in any of its lists."""
    stat = rpc.global_stat()
    return {stat[name] for name in ("numActive", "numWaiting", "numStopped")} == {"0"}


@pytest.fixture
def rpc(endpoint: Endpoint, make_rpc: Callable[..., Rpc]) -> Rpc:
    return make_rpc(endpoint)
