"""A real `glm-aria serve --registry` beside a real docker-registry, and people with tokens of their own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.core.registries import Repository
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.login import Login
from orchestrator.oci.registries import Registries
from orchestrator.registry.tokens import ISSUER
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine
from tests.oci.manifests import model_pack
from tests.oci.pushing import push
from tests.serve.access.tokens import NewTokens
from tests.serve.servers import Server
from tests.servers.registry import RegistryServer


@dataclass
class Facade:
    """What docker-registry is told of the facade's tokens."""

    realm: str
    service: str
    certificate: bytes
    issuer: str = ISSUER


@dataclass
class Answered:
    """An answer: its status, its JSON, and its ETag."""

    status: int
    value: Any
    tag: str | None


@dataclass
class RegistryHouse:
    """The server, the registry below, and tokens by the name of who has one."""

    server: Server
    below: RegistryServer
    net: Net
    machine: Machine
    hub: LoopbackHub
    words: tuple[str, ...]
    """How the server was started, beside its address."""
    tokens: dict[str, str] = field(default_factory=dict)

    def person(self, name: str, *words: str) -> str:
        """Somebody with a token that is made now."""
        self.tokens[name] = NewTokens(self.machine).make(name, *words)
        return name

    def ask(
        self,
        who: str,
        method: str,
        path: str,
        body: object = None,
        *,
        login: str | None = None,
        **headers: str,
    ) -> Answered:
        """A request to the facade; `login` is the user name of a Basic login with the token."""
        connection = HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        token = self.tokens.get(who, who)
        if token and login is None:
            headers["Authorization"] = f"Bearer {token}"
        elif token:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{login}:{token}".encode()).decode()
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        value = json.loads(content) if "json" in answer.headers.get("Content-Type", "") and content else content
        return Answered(answer.status, value, answer.headers.get("ETag"))

    def call(self, who: str, method: str, path: str, body: object = None, **headers: str) -> Answered:
        """A call of the registry's REST face."""
        return self.ask(who, method, f"/registry/v1{path}", body, **headers)

    def client(self, who: str, name: str) -> Client:
        """A client of the registry itself: it asks the facade for its tokens, with a login as docker has it."""
        login = Login("token", self.tokens[who], self.server.url) if who else None
        logins = {self.below.host: login} if login else {}
        return Client(Registries(self.net, lambda: logins), Repository(self.below.url, name))

    def granted(self, who: str, *scopes: str) -> dict[str, tuple[str, ...]]:
        """The access in a token that somebody gets for these scopes."""
        query = "&".join(f"scope={quote(scope)}" for scope in scopes)
        answer = self.ask(who, "GET", f"/registry/token?service={self.below.host}&{query}", login="x")
        assert answer.status == 200, answer
        claims = json.loads(base64.urlsafe_b64decode(answer.value["token"].split(".")[1] + "=="))
        return {one["name"]: tuple(one["actions"]) for one in claims["access"]}

    def upload(
        self, who: str, model: str, files: Mapping[str, bytes], annotations: dict[str, str] | None = None
    ) -> str:
        """Upload a version to where this publisher may; its digest."""
        return self.upload_manifest(who, model, model_pack(files, annotations=annotations), *files.values())

    def upload_manifest(self, who: str, model: str, manifest: dict[str, Any], *contents: bytes) -> str:
        """Upload contents, and a manifest of them."""
        told = self.call(who, "GET", f"/{model}/uploads")
        assert told.status == 200, told
        name = urlsplit(told.value["repository"]).path.strip("/")
        return str(push(self.client(who, name), "upload", manifest, *contents))

    def publish(
        self,
        who: str,
        model: str,
        version: str,
        files: Mapping[str, bytes],
        annotations: dict[str, str] | None = None,
    ) -> str:
        digest = self.upload(who, model, files, annotations)
        answer = self.call(who, "PUT", f"/{model}/versions/{version}", {"digest": digest})
        assert answer.status == 201, answer
        return digest


@contextmanager
def registry_house(
    folder: Path, *words: str, env: dict[str, str] | None = None, repos: Iterable[Repo] = ()
) -> Iterator[RegistryHouse]:
    """Start both; the server's root is a Hub that has `repos`. In the end no token is in what the server wrote."""
    machine = Machine(folder / "machine", "hf_of_the_operator")
    with LoopbackHub(repos) as hub, Net(sleep=lambda _: None) as net:
        machine.root = hub.url
        below = RegistryServer(folder / "registry")
        first = NewTokens(machine).make("first", "--role", "reader")
        words = ("--no-mirrors", "--auth", "tokens", "--registry", below.url, *words)
        server = Server.start(machine, *words, env=env)
        certificate = machine.run("registry", "certificate").ended(0).out.encode()
        below.believe(Facade(f"{server.url}/registry/token", below.host, certificate))
        try:
            with below:
                house = RegistryHouse(server, below, net, machine, hub, words, {"first": first})
                yield house
                server = house.server
        finally:
            ended = server.stop()
            machine.stop()
        assert not [name for name, token in house.tokens.items() if token in ended.out + ended.err]
