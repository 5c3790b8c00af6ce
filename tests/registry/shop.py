"""A facade's registry over a real docker-registry that believes its tokens, without the server around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.refs import RepoId
from orchestrator.core.registries import Repository
from orchestrator.events import Event
from orchestrator.net.session import Net
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.client import Client
from orchestrator.oci.registries import Registries
from orchestrator.registry.audit import Trail
from orchestrator.registry.checks import AliasGate
from orchestrator.registry.core import Registry
from orchestrator.registry.keeping import Keeper
from orchestrator.registry.ledger import Ledgers
from orchestrator.registry.names import FACADE, model_named, upload_repository
from orchestrator.registry.storage import Storage
from orchestrator.registry.tokens import ISSUER, Signer, asked_for, granted
from orchestrator.registry.uploads import VersionUploads
from orchestrator.registry.versions import Version
from orchestrator.rights import Role, RoleGrant, Subject
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_files
from tests.servers.registry import RegistryServer

MODEL = model_named("team/model")


def somebody(role: Role, name: str = "", namespace: str = "") -> Subject:
    return Subject(name or role.value, (RoleGrant(role, (namespace,)) if namespace else RoleGrant(role),))


ADMIN = somebody(Role.ADMIN)


@dataclass
class TokenAuth:
    """What docker-registry is told of the facade's tokens."""

    certificate: bytes
    realm: str = "http://127.0.0.1:9/registry/token"
    service: str = "shop"
    issuer: str = ISSUER


@dataclass
class Shop:
    """The registry with its parts."""

    server: RegistryServer
    signer: Signer
    net: Net
    folder: Path
    events: list[Event] = field(default_factory=list)

    def registry(self, *gates: AliasGate) -> Registry:
        """One facade of this state folder; another one each time."""
        return Registry(self.storage, self.uploads, self.keeper, Trail(self.folder), gates)

    @property
    def uploads(self) -> VersionUploads:
        """Uploads through a facade."""
        begun = BegunUploads(self.folder, self.folder)
        return VersionUploads(self._registries(FACADE, None), self.server.url, begun)

    @property
    def keeper(self) -> Keeper:
        return Keeper(self.storage, Ledgers(self.folder, self.folder), Trail(self.folder), emit=self.events.append)

    @property
    def storage(self) -> Storage:
        return Storage(self._registries(FACADE, None), self.server.url)

    def client(self, who: Subject, name: str) -> Client:
        """A client of the registry itself with the tokens that the table gives somebody."""
        return Client(self._registries(who.name, who), Repository(self.server.url, name))

    def root(self, name: str) -> Client:
        """A client that may do all: who runs the registry."""
        return Client(self._registries(FACADE, None), Repository(self.server.url, name))

    def upload(self, who: Subject, files: Mapping[str, bytes], model: RepoId = MODEL) -> str:
        """Upload a model to where its publisher may; the digest of its manifest."""
        client = self.client(who, upload_repository(who.name, model))
        return str(push_files(client, "upload", model_pack(files), files))

    def upload_to(self, name: str, files: Mapping[str, bytes]) -> str:
        """Push a version past the facade; the digest of its manifest."""
        return str(push_files(self.root(name), "1.0.0", model_pack(files), files))

    def publish(self, version: str, files: Mapping[str, bytes], *, who: Subject = ADMIN, model: RepoId = MODEL) -> str:
        digest = self.upload(who, files, model)
        self.registry().publish(who, model, Version.parse(version), digest)
        return digest

    def _registries(self, name: str, who: Subject | None) -> Registries:
        def issue(scopes: Sequence[str]) -> str:
            asked = asked_for(scopes)
            return self.signer.token(name, asked if who is None else granted(who, asked), "shop")

        found = Registries(self.net)
        found.issue_for(self.server.url, issue)
        return found


def auth_of(signer: Signer) -> TokenAuth:
    return TokenAuth(signer.certificate.read_bytes())


@contextmanager
def shop_in(folder: Path) -> Iterator[Shop]:
    """A shop whose state is in this folder."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    signer = Signer(state, state)
    with RegistryServer(folder / "registry", tokens=auth_of(signer)) as server, Net(sleep=lambda _: None) as net:
        yield Shop(server, signer, net, state)
