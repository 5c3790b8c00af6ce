"""A server with a certificate: real clients that believe it, renewal, and the manners of a server over TLS."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.errors import ConfigError
from orchestrator.serve.connections import ConnectionBounds
from orchestrator.serve.http.certificates import ServerCertificate
from orchestrator.serve.server import bound, parse_listen, serving
from tests.hub.certificates import make_certificate
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import open_place, wanted  # noqa: F401 - a fixture
from tests.machine.machine import Machine, content, until
from tests.serve.access.tokens import NewTokens
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import Client, Server
from tests.serve.test_server import Face

BIG = "big.bin"
FILES: dict[str, Any] = tiny_model(1, shard_size=1 << 20) | {BIG: generate(6 << 20, 3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the certificate."""
    made = tmp_path / "tls"
    made.mkdir()
    make_certificate(made)
    return made


def start(machine: Machine, folder: Path, *words: str) -> Server:
    files = ("--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem"))
    return Server.start(machine, "--no-mirrors", *files, *words)


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub, folder: Path) -> Iterator[Server]:
    made = start(machine, folder)
    yield made
    if made.running.process.poll() is None:
        made.stop()
    assert_unseen(machine, hub)


def believing(user: Client, folder: Path) -> Client:
    """The user believes the certificate, as programs are told to."""
    file = str(folder / "cert.pem")
    user.env |= {"SSL_CERT_FILE": file, "REQUESTS_CA_BUNDLE": file, "CURL_CA_BUNDLE": file}
    return user


def test_hf_and_curl(server: Server, users: Users, folder: Path, repo: Repo) -> None:
    user = believing(users(server), folder)
    assert server.url.startswith("https://127.0.0.1:")
    done = user.hf("download", "org/m")
    assert done.returncode == 0, done.stdout
    assert content(user.cache / "models--org--m" / "snapshots" / repo.head) == wanted(repo)
    got = user.get(f"/org/m/resolve/main/{BIG}", "--cacert", str(folder / "cert.pem"))
    assert got == wanted(repo)[BIG]
    refused = users(server).run("curl", "-sS", f"{server.url}/api/models/org/m")
    assert refused.returncode == 60  # curl does not believe it


def test_a_pull_whose_root_is_the_server(server: Server, folder: Path, repo: Repo, tmp_path: Path) -> None:
    other = Machine(tmp_path / "other", "hf_of_the_other", server.url)
    done = other.pull("org/m", "--no-mirrors", env={"SSL_CERT_FILE": str(folder / "cert.pem"), "HF_TOKEN": ""})
    assert content(other.snapshot("model/org/m", done.ended(0).model["commit"])) == wanted(repo)
    other.stop()


def test_page_links_lead_back_over_tls(server: Server, users: Users, folder: Path) -> None:
    user = believing(users(server), folder)
    done = user.run("curl", "-s", "-D", "-", "-o", "/dev/null", f"{user.url}/api/models/org/m/tree/main?recursive=true")
    assert " 200 " in done.stdout
    plain = user.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", user.url.replace("https", "http"))
    assert plain.stdout == "000"


def test_who_waits_for_a_file_is_kept_waiting(
    machine: Machine, hub: LoopbackHub, repo: Repo, users: Users, folder: Path
) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=1.3e6)
    server = start(machine, folder)
    user = believing(users(server), folder)
    done = user.run("curl", "-sv", "-o", "got", f"{user.url}/org/m/resolve/main/{BIG}")
    assert done.returncode == 0, done.stdout
    assert (user.folder / "got").read_bytes() == wanted(repo)[BIG]
    assert "100 Continue" in done.stdout
    server.stop()


def handshake(url: str, folder: Path, name: str | None = "localhost", **limits: Any) -> tuple[bytes, str]:
    """The certificate that a client is shown, and the version of TLS."""
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for limit, version in limits.items():
        setattr(context, limit, version)
    host, _, port = url.rpartition("/")[2].partition(":")
    with (
        closing(socket.create_connection((host, int(port)), 20)) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
        assert shown
        return shown, secure.version() or ""


def renewed(folder: Path) -> bytes:
    """A new certificate in the place of the old one, as certbot does it: by renaming. Its bytes."""
    fresh = folder / "fresh"
    fresh.mkdir()
    make_certificate(fresh)
    for name in ("key.pem", "cert.pem"):
        (fresh / name).replace(folder / name)
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())


@pytest.mark.parametrize("name", ["localhost", None])
def test_a_renewed_certificate_is_shown_and_open_connections_go_on(
    server: Server, folder: Path, name: str | None
) -> None:
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    host, _, port = server.url.rpartition("/")[2].partition(":")
    before, _ = handshake(server.url, folder, name)
    with (
        closing(socket.create_connection((host, int(port)), 20)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as kept,
    ):
        after = renewed(folder)
        assert handshake(server.url, folder, name)[0] == after != before
        kept.sendall(b"HEAD /org/m/resolve/main/config.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"


def test_what_cannot_be_used_leaves_the_last_one(server: Server, folder: Path) -> None:
    before, _ = handshake(server.url, folder)
    other = folder / "other"
    other.mkdir()
    make_certificate(other)
    (other / "cert.pem").replace(folder / "cert.pem")  # with the key of another one
    assert handshake(server.url, folder)[0] == before
    (other / "key.pem").replace(folder / "key.pem")
    assert handshake(server.url, folder)[0] != before
    assert "the certificate from before is used" in server.stop().err


def test_tls_is_1_2_at_least(server: Server, users: Users, folder: Path) -> None:
    assert handshake(server.url, folder)[1] == "TLSv1.3"
    assert handshake(server.url, folder, maximum_version=ssl.TLSVersion.TLSv1_2)[1] == "TLSv1.2"
    old = users(server).run("curl", "-sk", "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0", server.url)
    assert old.returncode == 35


def test_a_key_that_others_may_read_is_refused(
    machine: Machine,
    hub: LoopbackHub,
    open_place: Path,  # noqa: F811
) -> None:
    certificate, key = make_certificate(open_place)
    key.chmod(0o644)
    files = ("--cert", str(certificate), "--key", str(key))
    done = machine.run("serve", "--root", hub.url, "--json", "--listen", "127.0.0.1:0", *files).ended(78)
    assert "every user may read it" in done.error["message"]


def test_a_key_is_judged_and_files_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no-such"):
        ServerCertificate(folder / "cert.pem", folder / "no-such.pem", lambda _: None)
    (folder / "broken.pem").write_text("not a certificate")
    with pytest.raises(ConfigError, match="broken"):
        ServerCertificate(folder / "broken.pem", folder / "key.pem", lambda _: None)


def test_both_files_are_needed(machine: Machine, folder: Path) -> None:
    machine.run("serve", "--root", "http://127.0.0.1:9", "--cert", str(folder / "cert.pem")).ended(2)


Connect = Callable[..., socket.socket]


@contextmanager
def serving_here(folder: Path, face: ASGIApp, bounds: ConnectionBounds) -> Iterator[Connect]:
    """A server, and a call that makes connections to it, with TLS or in the middle of a handshake."""
    certificate = ServerCertificate(folder / "cert.pem", folder / "key.pem", lambda _: None)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    with ExitStack() as stack:
        listener, _ = stack.enter_context(bound(parse_listen("127.0.0.1:0")))
        stack.enter_context(serving(face, listener, lambda: None, bounds, certificate))

        def connect(*, is_secure: bool = True) -> socket.socket:
            plain = stack.enter_context(closing(socket.create_connection(listener.getsockname(), 20)))
            if not is_secure:
                return plain
            return stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))

        yield connect


def test_who_begins_no_handshake_gives_way(folder: Path) -> None:
    with serving_here(folder, Face(), ConnectionBounds(4, 4)) as connect:
        silent = [connect(is_secure=False) for _ in range(12)]
        asking = connect()
        asking.sendall(b"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asking.recv(12) == b"HTTP/1.1 200"
        assert [one.recv(1) for one in silent[:-1]] == [b""] * 11


def test_who_only_holds_a_connection_gives_way(folder: Path) -> None:
    with serving_here(folder, Face(), ConnectionBounds(4, 4)) as connect:
        silent = [connect() for _ in range(8)]
        asking = connect()
        asking.sendall(b"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asking.recv(12) == b"HTTP/1.1 200"
        assert [one.recv(1) for one in silent[:5]] == [b""] * 5


def test_who_does_not_read_is_broken_off(folder: Path) -> None:
    async def endless(scope: Scope, _receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    with serving_here(folder, endless, ConnectionBounds(4, 4, reading=0.5)) as connect:
        reader = connect()
        reader.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # What the system has for it, and then the end: not at the next byte, nor ever after.
        assert until(lambda: not is_open(reader), 30)


def is_open(connection: socket.socket) -> bool:
    """False once the other end has broken the connection off; reads nothing."""
    watched = select.poll()
    watched.register(connection, 0)
    return not watched.poll(0)


def test_tokens_over_tls(machine: Machine, hub: LoopbackHub, users: Users, folder: Path) -> None:
    tokens = NewTokens(machine)
    token = tokens.make("laptop")
    server = start(machine, folder, "--auth", "tokens", "--host", "localhost")
    assert server.url.startswith("https://localhost:")
    user = believing(users(server), folder)
    assert user.hf("download", "org/m", "config.json").returncode != 0
    done = user.hf("download", "org/m", "config.json", HF_TOKEN=token)
    assert done.returncode == 0, done.stdout
    # The commands of its user find it, and need no certificate that is believed.
    machine.run("serve", "prefetch", "org/m", "--json").ended(0)
    server.stop()
    assert_unseen(machine, hub, token)
