"""Values of the registry as messages of `proto/registry.proto`, and back."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from orchestrator.core.registries import is_sha256
from orchestrator.errors import UsageError
from orchestrator.registry.audit import Deed, TrailEvent
from orchestrator.registry.core import ResolvedVersion
from orchestrator.registry.document import AliasEntry, ResolvedDocument
from orchestrator.registry.ledger import ModelLedger
from orchestrator.registry.versions import Version
from orchestrator.serve.registry.rpc.stubs import registry_pb2 as pb

_PAGE = 500
"""Versions in one message, at most."""
_MOVES = (Deed.MOVE, Deed.REMOVE, Deed.ADOPT)
"""Deeds after which an alias stands for something else. A tag that is put back stands for what it stood for."""


def resolved(found: ResolvedVersion) -> pb.ResolvedVersion:
    """The message of a version."""
    told = ResolvedDocument.of(found)
    return pb.ResolvedVersion(
        model=told.name,
        version=told.version or "",
        aliases=told.aliases,
        digest=told.digest,
        commit=told.commit,
        repository=told.repository,
    )


def page(ledger: ModelLedger, asked: pb.ListVersionsRequest) -> pb.ListVersionsResponse:
    """A page of the versions of a model. Raises UsageError for a page that there cannot be."""
    if asked.page_size < 0:
        raise UsageError("page_size is below 0")
    versions = sorted(ledger.versions, reverse=True)
    if asked.page_token:
        last = _version(asked.page_token)
        versions = [version for version in versions if version < last]
    size = min(asked.page_size or _PAGE, _PAGE)
    return pb.ListVersionsResponse(
        versions=(_entry(version, ledger) for version in versions[:size]),
        aliases=() if asked.page_token else map(_alias, AliasEntry.all_of(ledger)),
        next_page_token=str(versions[size - 1]) if len(versions) > size else "",
    )


def expected(asked: pb.SetAliasRequest) -> str:
    """The digest for which the alias has to stand; empty for nothing. Raises UsageError where it is not said."""
    if bool(asked.expected) is asked.must_not_exist:
        raise UsageError("say what the alias stands for now: its digest as expected, or must_not_exist for nothing")
    if asked.expected and not is_sha256(asked.expected):
        raise UsageError(f"expected is {asked.expected!r}, which is no digest such as sha256:…")
    return asked.expected


def moved(event: TrailEvent, aliases: frozenset[str]) -> pb.AliasEvent | None:
    """The message of a change; None for one that moved none of these aliases, where there are such."""
    if event.deed not in _MOVES or Version.of_tag(event.name) or (aliases and event.name not in aliases):
        return None
    return pb.AliasEvent(
        number=event.number,
        model=event.model,
        alias=event.name,
        before=event.before,
        after=event.after,
        version=event.version,
        moved_by=event.who,
        moved_at=_moment(event.at),
    )


def _entry(version: Version, ledger: ModelLedger) -> pb.VersionEntry:
    edition = ledger.versions[version]
    return pb.VersionEntry(
        version=str(version),
        digest=edition.digest,
        size=edition.size,
        published_by=edition.who,
        published_at=_moment(edition.at),
    )


def _alias(entry: AliasEntry) -> pb.AliasEntry:
    return pb.AliasEntry(alias=entry.alias, digest=entry.digest, version=entry.version or "")


def _version(token: str) -> Version:
    try:
        return Version.parse(token)
    except ValueError:
        raise UsageError("page_token is not one of an answer") from None


def _moment(at: float) -> Timestamp:
    return Timestamp(seconds=int(at), nanos=int(at % 1 * 1e9))
