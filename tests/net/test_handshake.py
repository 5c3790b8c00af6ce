"""Connection times and ALPN, on real sockets and certificates."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from orchestrator.core.network.proxies import Proxies, parse_proxy
from orchestrator.errors import SourcesDownError, TrustError
from orchestrator.net.handshake import shake_hands
from orchestrator.net.session import Net
from tests.hub.certificates import make_certificate, server_context
from tests.hub.loopback import LoopbackHub
from tests.hub.shaping import Shape


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize(("offered", "chosen"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None)])
def test_what_a_server_chooses(certificate: tuple[Path, Path], offered: tuple[str, ...], chosen: str | None) -> None:
    with LoopbackHub([], tls=server_context(*certificate, alpn=offered)) as hub:
        found = shake_hands(hub.url, 5, str(certificate[0]))
        assert found.alpn == chosen
        assert found.tls is not None
        assert min(found.dns, found.connect, found.tls) >= 0
        assert hub.log.requests() == []


def test_plain_http_has_no_tls() -> None:
    with LoopbackHub([]) as hub:
        found = shake_hands(hub.url, 5, True)
        assert (found.tls, found.alpn) == (None, None)
        assert 0 <= found.connect < 1


def test_a_certificate_that_nobody_vouches_for(certificate: tuple[Path, Path]) -> None:
    with LoopbackHub([], tls=server_context(*certificate)) as hub, pytest.raises(TrustError):
        shake_hands(hub.url, 5, True)


def test_a_handshake_with_nobody_is_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(SourcesDownError):
            shake_hands(f"http://127.0.0.1:{closed.getsockname()[1]}", 5, True)
    with pytest.raises(SourcesDownError):
        shake_hands("http://no-such-host.invalid", 5, True)


def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SourcesDownError):
        shake_hands(f"https://127.0.0.1:{silent.getsockname()[1]}", 0.2, True)


def test_behind_a_proxy_nothing_is_measured() -> None:
    down = {"": parse_proxy("http://127.0.0.1:9")}
    with Net(proxies=Proxies(down)) as net:
        assert net.shake_hands("http://example.invalid") is None
    with Net(proxies=Proxies(down, no_proxy=("*",))) as net, pytest.raises(SourcesDownError):
        net.shake_hands("http://example.invalid")


def test_the_versions_of_tls_are_those_of_python(certificate: tuple[Path, Path]) -> None:
    context = server_context(*certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with LoopbackHub([], tls=context) as hub:
        assert shake_hands(hub.url, 5, str(certificate[0])).tls


def test_a_span_of_a_stream() -> None:
    from tests.hub.repos import Repo

    data = bytes(range(256)) * 100
    with LoopbackHub([Repo("model", "org/m", {"w.bin": data})], cdn_shape=Shape()) as hub, Net() as net:
        with net.stream(f"{hub.url}/org/m/resolve/main/w.bin", byte_range=(5, 10)) as stream:
            assert (stream.status, b"".join(stream.chunks())) == (206, data[5:10])
        with net.stream(f"{hub.url}/org/m/resolve/main/w.bin") as stream:
            assert stream.status == 200
        ranges = [seen.range for seen in hub.log.requests(face="cdn")]
        assert ranges == ["bytes=5-9", None]
