"""A real docker-registry of a test's own, on a port of loopback: open, with a password, or with tokens.

`TokenService` issues what it asks for then, and may be told to misbehave; `RedirectingFront` stands before a registry
and sends who asks for a blob to another server, as registries on an object store do.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.servers.ports import free_port, wait_for_port

SERVICE = "tests-registry"
ISSUER = "tests-issuer"


class Issuer(Protocol):
    """The token service that a registry is told to believe."""

    @property
    def realm(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def issuer(self) -> str: ...

    @property
    def certificate(self) -> bytes: ...


class RegistryServer:
    """A context manager. `store` outlives the process, so that it may be killed and started again on the same port.

    `htpasswd` are lines of a file for Basic logins (bcrypt); `tokens` is the service whose tokens it demands.
    """

    def __init__(self, folder: Path, *, htpasswd: str | None = None, tokens: Issuer | None = None) -> None:
        if shutil.which("docker-registry") is None:
            pytest.skip("docker-registry is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.store = folder / "store"
        self.port = free_port()
        self._auth: dict[str, Any] = {}
        if htpasswd is not None:
            (folder / "htpasswd").write_text(htpasswd + "\n")
            self._auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        if tokens is not None:
            self.believe(tokens)
        self._process: subprocess.Popen[bytes] | None = None

    def believe(self, tokens: Issuer) -> None:
        """Demand tokens of this service, from the next start on."""
        (self._folder / "issuer.pem").write_bytes(tokens.certificate)
        self._auth = {
            "token": {
                "realm": tokens.realm,
                "service": tokens.service,
                "issuer": tokens.issuer,
                "rootcertbundle": str(self._folder / "issuer.pem"),
            }
        }

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it with what its store holds, and wait until it accepts connections. JSON is YAML."""
        conf = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.store)},
                "delete": {"enabled": True},
                "redirect": {"disable": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": self.host, "secret": "uploads-go-on-after-a-restart"},
        } | ({"auth": self._auth} if self._auth else {})
        (self._folder / "config.yml").write_text(json.dumps(conf))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self._folder / "config.yml")],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
            )
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def blob(self, digest: str) -> Path:
        """The file in the store with the bytes of a blob; a test that writes to it makes the registry lie."""
        hexadecimal = digest.removeprefix("sha256:")
        return self.store / "docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a server of this module saw it."""

    method: str
    target: str
    authorization: str | None
    range: str | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass(slots=True)
class Answered:
    """An answer to send."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class SmallServer:
    """An HTTP server of a test's own on loopback that remembers what it was asked; a context manager."""

    def __init__(self, answer: Callable[[Seen], Answered], *, port: int | None = None) -> None:
        seen: list[Seen] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                request = Seen(self.command, self.path, self.headers["Authorization"], self.headers["Range"])
                seen.append(request)
                given = answer(request)
                self.send_response(given.status)
                headers = {"Content-Length": str(len(given.body))} | given.headers
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(given.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - names of http.server

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None: ...  # a client that hung up

        self.seen = seen
        self._server = Server(("127.0.0.1", port or 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


class TokenService(SmallServer):
    """A token service, as docker-registry demands one: ES256 with the certificate beside each token.

    `users` are the names and passwords that it knows; without a login only `public` repositories may be pulled. What a
    token is good for is what was asked for, so a test sees whether a client asks for more.
    """

    life: int = 300
    realm_at: str = ""
    """The address that it has for others, where it is not its own."""

    def __init__(self, users: dict[str, str] | None = None, *, public: tuple[str, ...] = ()) -> None:
        self._users = users or {}
        self._public = public
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests issuer")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        made = made.not_valid_after(now + timedelta(days=2))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.issued: list[str] = []
        super().__init__(self._answer)

    @property
    def realm(self) -> str:
        return self.realm_at or f"{self.url}/token"

    @property
    def service(self) -> str:
        return SERVICE

    @property
    def issuer(self) -> str:
        return ISSUER

    @property
    def certificate(self) -> bytes:
        return self._certificate.public_bytes(Encoding.PEM)

    def _answer(self, request: Seen) -> Answered:
        user = self._user(request.authorization)
        if request.authorization and user is None:
            return Answered(401, b"{}", {"WWW-Authenticate": 'Basic realm="tests"'})
        access = []
        for scope in request.query.get("scope", []):
            kind, name, actions = scope.split(":")
            allowed = actions.split(",") if user else ["pull"] if name in self._public else []
            access.append({"type": kind, "name": name, "actions": allowed})
        token = self.sign(access, subject=user or "")
        self.issued.append(token)
        body = json.dumps({"token": token, "expires_in": self.life}).encode()
        return Answered(200, body, {"Content-Type": "application/json"})

    def _user(self, authorization: str | None) -> str | None:
        scheme, _, value = (authorization or "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user if self._users.get(user) == password else None

    def sign(self, access: list[dict[str, Any]], *, subject: str = "") -> str:
        """A token that docker-registry believes."""
        der = base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": subject, "aud": SERVICE, "exp": now + self.life, "nbf": now - 10, "iat": now}
        claims |= {"jti": secrets.token_hex(8), "access": access}
        head = _coded(json.dumps({"typ": "JWT", "alg": "ES256", "x5c": [der]}).encode())
        text = f"{head}.{_coded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_coded(r.to_bytes(32) + s.to_bytes(32))}"


class RedirectingFront(SmallServer):
    """Passes everything on to a registry, but answers GET and HEAD of a blob with the address of a signed copy.

    `storage` is the other server that has them; it refuses who brings no signature, and who brings a credential.
    """

    def __init__(self, registry: RegistryServer) -> None:
        self._registry = registry
        self.signature = secrets.token_hex(16)
        self.storage = SmallServer(self._stored)
        super().__init__(self._answer)

    def __enter__(self) -> Self:
        self.storage.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.storage.__exit__(kind, error, trace)

    def _answer(self, request: Seen) -> Answered:
        passed = self._passed(request, "HEAD" if "/blobs/" in request.path else request.method)
        if "/blobs/sha256:" not in request.path or passed.status != 200:
            return passed
        digest = request.path.rpartition("/")[2]
        return Answered(307, b"", {"Location": f"{self.storage.url}/{digest}?signature={self.signature}"})

    def _passed(self, request: Seen, method: str) -> Answered:
        line = http.client.HTTPConnection("127.0.0.1", self._registry.port, timeout=10)
        try:
            headers = {"Accept": "*/*, application/vnd.oci.image.manifest.v1+json"}
            if request.authorization:
                headers["Authorization"] = request.authorization
            line.request(method, request.target, headers=headers)
            answer = line.getresponse()
            kept = ("Content-Type", "Docker-Content-Digest", "WWW-Authenticate")
            return Answered(
                answer.status, answer.read(), {name: answer.headers[name] for name in kept if answer.headers[name]}
            )
        finally:
            line.close()

    def _stored(self, request: Seen) -> Answered:
        if request.query.get("signature") != [self.signature] or request.authorization:
            return Answered(403)
        return ranged(self._registry.blob(request.path.strip("/")).read_bytes(), request)


def ranged(body: bytes, request: Seen) -> Answered:
    """A body, or the range of it that was asked for."""
    first, _, last = (request.range or "").removeprefix("bytes=").partition("-")
    if not first.isdigit():
        return Answered(200, body, {"Accept-Ranges": "bytes"})
    start, end = int(first), min(int(last) if last.isdigit() else len(body) - 1, len(body) - 1)
    return Answered(206, body[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(body)}"})


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
