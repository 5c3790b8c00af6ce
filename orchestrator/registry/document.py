"""The data of the registry's JSON documents: those of its REST calls, and of the commands that make them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.core.registries import commit_of
from orchestrator.documents import Amount, Commit, Count, DigestText
from orchestrator.registry.audit import Deed, TrailEvent
from orchestrator.registry.checks import CheckResult
from orchestrator.registry.contents import FileDelta, KeyDelta, VersionDifference
from orchestrator.registry.core import CheckedVersion, ResolvedVersion
from orchestrator.registry.ledger import ModelLedger
from orchestrator.registry.versions import Version


@dataclass(frozen=True, slots=True)
class ModelsDocument:
    """The models of a registry that the caller may read."""

    models: tuple[str, ...]

    @classmethod
    def of(cls, models: Iterable[RepoId]) -> Self:
        """The document of these."""
        return cls(tuple(model.name for model in models))


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A version. `at` is when it was published, in unix seconds; `who` is empty where it was not by this server."""

    version: str
    digest: DigestText
    size: Count
    who: str
    at: Amount


@dataclass(frozen=True, slots=True)
class AliasEntry:
    """An alias."""

    alias: str
    digest: DigestText
    version: str | None

    @classmethod
    def all_of(cls, ledger: ModelLedger) -> tuple[Self, ...]:
        """The aliases of a model, by their names."""
        return tuple(
            cls(name, alias.digest, _text(ledger.version_of(alias.digest)))
            for name, alias in sorted(ledger.aliases.items())
            if alias.digest is not None
        )


@dataclass(frozen=True, slots=True)
class ModelVersionsDocument:
    """The versions of a model, the newest first, and its aliases."""

    name: str
    versions: tuple[VersionEntry, ...]
    aliases: tuple[AliasEntry, ...]

    @classmethod
    def of(cls, model: RepoId, ledger: ModelLedger) -> Self:
        """The document of a model."""
        versions = tuple(
            VersionEntry(str(version), one.digest, one.size, one.who, one.at)
            for version, one in sorted(ledger.versions.items(), reverse=True)
        )
        return cls(model.name, versions, AliasEntry.all_of(ledger))


@dataclass(frozen=True, slots=True)
class ResolvedDocument:
    """A version: the digest of its manifest, the `commit` by which caches know it, and the repository that has it."""

    name: str
    version: str | None
    aliases: tuple[str, ...]
    digest: DigestText
    commit: Commit
    repository: str

    @classmethod
    def of(cls, found: ResolvedVersion) -> Self:
        """The document of what was found."""
        commit = commit_of(Digest.parse(found.digest))
        return cls(found.model.name, _text(found.version), found.aliases, found.digest, commit, found.repository)


@dataclass(frozen=True, slots=True)
class RightsDocument:
    """All that the caller may do with a model, whether there is one or not; `who` is empty without a token.
    `repository` has its files; None for who may not read it."""

    name: str
    who: str
    rights: tuple[str, ...]
    repository: str | None


@dataclass(frozen=True, slots=True)
class PublishedDocument:
    """A version that was published, or (`is_new` false) was there already as the same."""

    name: str
    version: str
    digest: DigestText
    is_new: bool


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A version that was signed; `signature` is the digest of the signature's manifest."""

    name: str
    version: str
    digest: DigestText
    signature: DigestText


@dataclass(frozen=True, slots=True)
class RemovedAliasDocument:
    """An alias that is none any more. `tag_is_gone` is false where the registry below cannot remove a tag."""

    name: str
    alias: str
    tag_is_gone: bool


@dataclass(frozen=True, slots=True)
class DiffDocument:
    """All that differs between two versions. `bytes_to_fetch` is what somebody lacks who has the first."""

    name: str
    before: DigestText
    after: DigestText
    files: tuple[FileDelta, ...]
    config: tuple[KeyDelta, ...]
    same: Count
    bytes_to_fetch: Count

    @classmethod
    def of(cls, model: RepoId, found: VersionDifference) -> Self:
        """The document of a difference."""
        return cls(model.name, found.before, found.after, found.files, found.config, found.same, found.bytes_to_fetch)


@dataclass(frozen=True, slots=True)
class CheckDocument:
    """The verdict of the rules for an alias on a version. Without rules it passes."""

    name: str
    digest: DigestText
    alias: str
    passed: bool
    results: tuple[CheckResult, ...]

    @classmethod
    def of(cls, model: RepoId, found: CheckedVersion) -> Self:
        """The document of a check."""
        return cls(model.name, found.digest, found.alias, found.is_passed, found.results)


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """A change of a version or an alias (`name`) of a model. Digests are empty where there was, or is, none."""

    number: Count
    at: Amount
    who: str
    deed: Deed
    model: str
    name: str
    before: str
    after: str
    version: str

    @classmethod
    def of(cls, event: TrailEvent) -> Self:
        """The entry of an event."""
        return cls(
            event.number,
            event.at,
            event.who,
            event.deed,
            event.model,
            event.name,
            event.before,
            event.after,
            event.version,
        )


@dataclass(frozen=True, slots=True)
class TrailDocument:
    """Changes, the oldest first, of models that the caller may read."""

    events: tuple[TrailEntry, ...]


@dataclass(frozen=True, slots=True)
class UploadsDocument:
    """The repository to which the caller uploads versions of a model, by a login with the same token."""

    name: str
    repository: str


@dataclass(frozen=True, slots=True)
class UploadDocument:
    """A blob of a version to come: whether the registry has it, and else how many bytes of it."""

    name: str
    digest: DigestText
    is_there: bool
    done: int


def _text(version: Version | None) -> str | None:
    return None if version is None else str(version)
