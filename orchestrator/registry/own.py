"""The models of a registry as those of its own server, which answers for them as a Hub does.

Names that a registry has, and those of the Hub, are told apart by their namespaces. All names in a namespace of the
registry are the registry's, also those that it lacks: what is misspelled, or not pushed yet, is not asked for at the
Hub, which is not to hear of it, and where somebody else could have that name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.catalogs.pointers import Pointed, PointerCatalog
from orchestrator.core.dialects import main_branches
from orchestrator.core.files import Digest
from orchestrator.core.refs import Ref, RepoId, RepoType, parse_ref
from orchestrator.core.registries import commit_of
from orchestrator.core.sources import Source
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.errors import (
    GlmAriaError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    UsageError,
)
from orchestrator.registry.core import Registry
from orchestrator.registry.ledger import Ledgers
from orchestrator.registry.names import FACADE, model_named
from orchestrator.rights import Role, RoleGrant, Subject

_SELF = Subject(FACADE, (RoleGrant(Role.READER),))
"""This server: it looks on behalf of those whose rights were looked at."""
_FRESH = 60.0
"""Seconds for which the list of all models is not asked for again."""


@dataclass(frozen=True, slots=True)
class NamedCommit:
    """A name of a commit: a version or an alias. `at` is when a version was published, in unix seconds."""

    name: str
    commit: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names that a model has, aliases as branches and versions as tags, the newest first."""

    branches: tuple[NamedCommit, ...]
    tags: tuple[NamedCommit, ...]


class OwnModels:
    """The models of this server's registry.

    `folder` keeps which namespaces there ever were, for when the registry does not tell, or is not asked (`offline`):
    one that an answer lacks stays the registry's. `stage` is a folder for files that are being written; `clock` is
    monotonic seconds. Thread-safe.
    """

    def __init__(
        self,
        registry: Registry,
        ledgers: Ledgers,
        folder: Path,
        stage: Path,
        *,
        offline: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._ledgers = ledgers
        self._path = folder / "namespaces.json"
        self._stage = stage
        self._offline = offline
        self._clock = clock
        self._asking = threading.Lock()
        self._told: frozenset[str] | None = None
        self._until = 0.0

    def knows(self, repo: RepoId) -> bool | None:
        """True when a name is the registry's; None where that has to be asked. Asks no server."""
        namespace, slash, _ = repo.name.lower().partition("/")
        if repo.type is not RepoType.MODEL or not slash:
            return False
        if self._ledgers.has_namespace(namespace):
            return True
        told = self._told
        return namespace in told if told is not None and self._clock() < self._until else None

    def has(self, repo: RepoId) -> bool:
        """The same; the registry is asked once in a minute. Raises SourcesDownError where it has never told."""
        while (known := self.knows(repo)) is None:
            with self._asking:
                if self._clock() >= self._until:
                    self._told = self._ask()
                    self._until = self._clock() + _FRESH
        return known

    def models(self, who: Subject) -> tuple[RepoId, ...]:
        """The models that somebody may read. Raises what `Registry.models` does."""
        return self._registry.models(who)

    def is_there(self, repo: RepoId) -> bool:
        """True for a model of which there is any version. Raises what `Registry.ledger` does for another reason."""
        with suppress(NotFoundError):
            return bool(self._registry.ledger(_SELF, _model(repo)).digests)
        return False

    def names(self, repo: RepoId) -> ModelNames:
        """The names of a model, with `main` as what is meant where none is named. Raises what `Registry` does."""
        model = _model(repo)
        ledger = self._registry.ledger(_SELF, model)
        branches = {name: alias.digest for name, alias in sorted(ledger.aliases.items()) if alias.digest}
        with suppress(NotFoundError):
            branches = {main_branches()[0]: self._registry.resolve(_SELF, model).digest} | branches
        return ModelNames(
            tuple(NamedCommit(name, _commit(digest)) for name, digest in branches.items()),
            tuple(
                NamedCommit(str(version), _commit(edition.digest), edition.at)
                for version, edition in sorted(ledger.versions.items(), reverse=True)
            ),
        )

    def _ask(self) -> frozenset[str]:
        known = self._told if self._told is not None else read_state(self._path, _namespaces)
        if self._offline:
            return known or frozenset()
        try:
            told = frozenset(model.name.partition("/")[0] for model in self._registry.models(_SELF))
        except (SourcesDownError, TemporaryError, NotAllowedError, ProtocolError) as error:
            if known is None:
                raise SourcesDownError(
                    f"nothing is asked for at the Hub before the registry has told its namespaces: {error.message}",
                    hint=error.hint,
                    source=error.source,
                ) from error
            return known
        told |= known or frozenset()
        if told != known:
            with suppress(GlmAriaError):
                write_state(self._path, self._stage, {"namespaces": sorted(told)})
        return told


class OwnCatalog(PointerCatalog):
    """Implements `Catalog` for the registry of this server; `follow` gives the catalog of the repository below.

    `is_own` tells which names are the registry's, and raises SourcesDownError where that is not known.
    """

    def __init__(
        self,
        source: Source,
        registry: Registry,
        follow: Callable[[Ref], Catalog],
        is_own: Callable[[RepoId], bool],
    ) -> None:
        super().__init__(source, follow)
        self._registry = registry
        self._is_own = is_own

    def revision(self, ref: Ref) -> Revision:
        """See `Catalog.revision`. That the registry refuses this server says nothing about the model. Whatever a
        manifest says, no name in a namespace of the registry is one of the Hub."""
        try:
            found = super().revision(ref)
        except NotAllowedError as error:
            raise SourcesDownError(
                f"the registry does not believe this server: {error.message}",
                hint="give it the certificate: glm-aria registry certificate",
                source=self.source.name,
            ) from error
        return replace(found, twin=None) if found.twin and self._may_be_own(found.twin.repo) else found

    def _may_be_own(self, repo: RepoId) -> bool:
        try:
            return self._is_own(repo)
        except SourcesDownError:
            return True

    def _point(self, ref: Ref) -> Pointed:
        found = self._registry.resolve(_SELF, _model(ref.repo), ref.revision)
        version = None if found.version is None else str(found.version)
        return Pointed(parse_ref(f"oci+{found.repository}@{found.digest}"), version)


def _model(repo: RepoId) -> RepoId:
    try:
        return model_named(repo.name)
    except UsageError as error:
        raise NotFoundError(error.message, hint=error.hint) from error


def _commit(digest: str) -> str:
    return commit_of(Digest.parse(digest))


def _namespaces(data: dict[str, Any]) -> frozenset[str]:
    return frozenset(map(str, data["namespaces"]))
