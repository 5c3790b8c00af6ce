"""The facade of a server composed from settings: its registry, and the tokens that the registry below believes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.extras import server_libraries
from orchestrator.catalogs.sites import Sites
from orchestrator.core.dialects import OWN
from orchestrator.core.registries import Repository
from orchestrator.core.sources import Source
from orchestrator.disk.private import PrivateFolder
from orchestrator.errors import ConfigError, GlmAriaError, NotAllowedError
from orchestrator.events import Emit, Notice
from orchestrator.net.credentials import is_private
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.registries import Registries
from orchestrator.registry.audit import Trail
from orchestrator.registry.checks import AliasGate, parse_gates
from orchestrator.registry.core import Registry
from orchestrator.registry.keeping import Keeper
from orchestrator.registry.ledger import Ledgers
from orchestrator.registry.names import FACADE
from orchestrator.registry.own import OwnCatalog, OwnModels
from orchestrator.registry.storage import Storage
from orchestrator.registry.uploads import VersionUploads
from orchestrator.rights import Role, RoleGrant, Subject
from orchestrator.settings import Settings
from orchestrator.system.small_files import RECORD_BYTES, read_named

if TYPE_CHECKING:
    from orchestrator.registry.tokens import Signer
    from orchestrator.serve.registry.bell import Bell


@dataclass(frozen=True, slots=True)
class Facade:
    """The registry of a server: its calls, its models as those of a Hub, and its tokens. `address` is the registry
    below, which calls itself `service` to its clients; `bell` rings at each change."""

    address: str
    registry: Registry
    own: OwnModels
    issue: Callable[[Subject, Sequence[str]], str]
    service: str
    bell: Bell

    def look(self, emit: Emit) -> None:
        """Warn if the registry below does not answer or does not believe this server, before a user finds out."""
        try:
            self.registry.models(Subject(FACADE, (RoleGrant(Role.READER),)))
        except GlmAriaError as error:
            message = f"the registry at {self.address} gives nothing to this server: {error.message}"
            hint = f"; {error.hint}" if error.hint else ""
            if isinstance(error, NotAllowedError):
                hint = "; give it the certificate of the tokens: glm-aria registry certificate"
            emit(Notice("registry-below", f"{message}{hint}"))

    def sites(self, sites: Sites) -> Sites:
        """The catalogs of a run, with this registry in the place of the one that settings name for clients."""
        source = Source(OWN.name, self.address, OWN)
        return replace(sites, roots={**sites.roots, OWN: OwnCatalog(source, self.registry, sites.of, self.own.has)})


def open_registry(settings: Settings, state_dir: Path, registries: Registries, emit: Emit) -> Facade | None:
    """The registry that the settings name, which `registries` ask with its own tokens from now on.

    None where they name none. Raises ConfigError without the libraries, and for an address to which no token is sent;
    UsageError for a file of rules that cannot be read.
    """
    address = settings.serve_registry
    if address is None:
        return None
    if not is_private(address):
        raise ConfigError(
            f"the registry at {address} gets no tokens over plain http, where others could read them",
            hint="give it a certificate, or run it on this machine",
        )
    signer = token_signer(state_dir)
    with server_libraries("registry"):
        from orchestrator.registry.tokens import asked_for, granted
        from orchestrator.serve.registry.bell import Bell

    service = Repository(address, "any").place

    def issue(who: Subject, scopes: Sequence[str]) -> str:
        return signer.token(who.name, granted(who, asked_for(scopes)), service)

    def issue_own(scopes: Sequence[str]) -> str:
        return signer.token(FACADE, asked_for(scopes), service)

    registries.issue_for(address, issue_own)
    folder, stage = _folder(state_dir), state_dir / "stage"
    bell = Bell()
    trail = Trail(folder, on_event=bell.ring)
    storage, ledgers = Storage(registries, address), Ledgers(folder, stage)
    uploads = VersionUploads(registries, address, BegunUploads(folder, stage))
    keeper = Keeper(storage, ledgers, trail, emit=emit)
    registry = Registry(storage, uploads, keeper, trail, _gates(settings.serve_registry_rules))
    own = OwnModels(registry, ledgers, folder, stage, offline=settings.offline)
    return Facade(address, registry, own, issue, service, bell)


def token_signer(state_dir: Path) -> Signer:
    """The key of the tokens, which is made where there is none. Raises ConfigError without the libraries."""
    with server_libraries("registry"):
        from orchestrator.registry.tokens import Signer

    return Signer(_folder(state_dir), state_dir / "stage")


def _folder(state_dir: Path) -> Path:
    folder = state_dir / "registry"
    PrivateFolder.make(folder).close()
    return folder


def _gates(path: Path | None) -> tuple[AliasGate, ...]:
    if path is None:
        return ()
    try:
        text = read_named(path, RECORD_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the rules of the registry cannot be read from {os.fspath(path)}: {error}") from error
    return parse_gates(text, path.name)
