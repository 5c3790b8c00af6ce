"""A hub of its own for each test, and a way to make `Net`s whose waits are recorded instead of slept."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.net.session import Net
from tests.hub.faces import Face, Handler
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

FILES = {"config.json": b"{}\n", "model.safetensors": bytes(range(256)) * 1024}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub([Repo("model", "org/m", FILES)], tokens={"hf_canary": {"org/m"}}) as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the `Net`s of this test would have slept."""
    return []


@pytest.fixture
def make_net(waits: list[float]) -> Iterator[Callable[..., Net]]:
    """Makes a Net that never sleeps and draws the longest jitter."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> Net:
            return stack.enter_context(Net(*args, **({"sleep": waits.append, "roll": lambda: 1.0} | options)))

        yield make


@pytest.fixture
def serve(hub: LoopbackHub) -> Callable[..., str]:
    """Starts a face with a handler of the test's own; returns its URL."""

    def start(handler: Handler, name: str = "own", **options: Any) -> str:
        return hub.serve(Face(name, handler, hub.log, **options))

    return start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a key and a certificate for this machine, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    pem = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run(
            [*command, *names, "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    pem.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return pem


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
