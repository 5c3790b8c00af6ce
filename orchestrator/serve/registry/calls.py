"""The calls of the registry's face: the texts of a request to a call of the registry, and its result to a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.core.registries import is_sha256
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.registry.checks import parse_gates
from orchestrator.registry.core import Registry
from orchestrator.registry.document import (
    AliasEntry,
    CheckDocument,
    DiffDocument,
    ModelsDocument,
    ModelVersionsDocument,
    PublishedDocument,
    RemovedAliasDocument,
    ResolvedDocument,
    RightsDocument,
    SignedDocument,
    TrailDocument,
    TrailEntry,
    UploadDocument,
    UploadsDocument,
)
from orchestrator.registry.names import is_digest, model_named
from orchestrator.registry.versions import Version
from orchestrator.rights import Right, Subject

_MOST_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class RegistryCall:
    """A request: who asks, what stands in its path, query and body, and content that is no JSON, with its type. An
    alias has to stand for what is `expected`, or with an empty one for nothing."""

    who: Subject
    named: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    expected: str = ""
    content: bytes | None = None
    content_type: str = ""

    @property
    def model(self) -> RepoId:
        """The model that is asked about. Raises NotFoundError for a name that none can have."""
        name = f"{self.named['namespace']}/{self.named['name']}"
        try:
            return model_named(name)
        except UsageError as error:
            raise NotFoundError(error.message, hint=error.hint) from error

    @property
    def version(self) -> Version:
        """The version in the path. Raises UsageError for what is none."""
        try:
            return Version.parse(self.named["version"])
        except ValueError as error:
            raise UsageError(str(error)) from error

    @property
    def digest(self) -> Digest:
        """The blob that is asked about. Raises NotFoundError for what is no sha256."""
        if not is_sha256(self.named["digest"]):
            raise NotFoundError(f"{self.named['digest']!r} is no digest such as sha256:…")
        return Digest.parse(self.named["digest"])

    @property
    def sent(self) -> bytes:
        """The content that came along. Raises UsageError without any."""
        if self.content is None:
            raise UsageError("there is no content in the request")
        return self.content

    @property
    def wanted(self) -> str:
        """The version that is asked for."""
        return self.query.get("range", "")


@dataclass(frozen=True, slots=True)
class GivenDocument:
    """An answer: its document, the digest that is its tag, and its status, if it is not that of the route."""

    document: object
    tag: str = ""
    status: int = 0


class Calls:
    """Each call of `routes.ROUTES` by its name. Blocks while the registry below is asked; raises what `Registry`
    does."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def of(self, name: str) -> Callable[[RegistryCall], GivenDocument]:
        """The call of a route."""
        return {
            "models": self.models,
            "events": self.events,
            "versions": self.versions,
            "rights": self.rights,
            "publish": self.publish,
            "sign": self.sign,
            "uploads": self.uploads,
            "upload": self.upload,
            "send": self.send,
            "end_upload": self.end_upload,
            "resolve": self.resolve,
            "alias": self.alias,
            "move": self.move,
            "remove": self.remove,
            "diff": self.diff,
            "check": self.check,
            "check_by": self.check_by,
            "model_events": self.model_events,
        }[name]

    def models(self, asked: RegistryCall) -> GivenDocument:
        """The models."""
        return GivenDocument(ModelsDocument.of(self._registry.models(asked.who)))

    def versions(self, asked: RegistryCall) -> GivenDocument:
        """The versions and aliases of a model."""
        return GivenDocument(ModelVersionsDocument.of(asked.model, self._registry.ledger(asked.who, asked.model)))

    def rights(self, asked: RegistryCall) -> GivenDocument:
        """The rights of who asks."""
        may = tuple(right for right in Right if asked.who.may(right, asked.model))
        repository = self._registry.repository(asked.model) if Right.READ in may else None
        return GivenDocument(RightsDocument(asked.model.name, asked.who.name, may, repository))

    def publish(self, asked: RegistryCall) -> GivenDocument:
        """Publish a version."""
        version = asked.version
        if asked.content is not None:
            digest = self._registry.put_manifest(asked.who, asked.model, asked.content, asked.content_type)
        else:
            digest = asked.body["digest"]
        if not is_digest(digest) or ":" not in digest:
            raise UsageError(f"{digest!r} is no digest such as sha256:…")
        is_new = self._registry.publish(asked.who, asked.model, version, digest)
        document = PublishedDocument(asked.model.name, str(version), digest, is_new)
        return GivenDocument(document, digest, 201 if is_new else 200)

    def sign(self, asked: RegistryCall) -> GivenDocument:
        """Attach a signature to a version."""
        digest, signature = self._registry.sign(asked.who, asked.model, asked.version, asked.sent)
        document = SignedDocument(asked.model.name, str(asked.version), digest, signature)
        return GivenDocument(document, signature)

    def uploads(self, asked: RegistryCall) -> GivenDocument:
        """The repository for uploads."""
        return GivenDocument(UploadsDocument(asked.model.name, self._registry.uploads(asked.who, asked.model)))

    def upload(self, asked: RegistryCall) -> GivenDocument:
        """The state of a blob."""
        found = self._registry.upload(asked.who, asked.model, asked.digest)
        return GivenDocument(UploadDocument(asked.model.name, str(asked.digest), found.is_there, found.done))

    def send(self, asked: RegistryCall) -> GivenDocument:
        """A chunk of a blob."""
        start = _number(asked.query, "from", 0)
        done = self._registry.send(asked.who, asked.model, asked.digest, start, asked.sent)
        return GivenDocument(UploadDocument(asked.model.name, str(asked.digest), False, done))

    def end_upload(self, asked: RegistryCall) -> GivenDocument:
        """The end of an upload, or a whole blob."""
        self._registry.end_upload(asked.who, asked.model, asked.digest, asked.sent)
        return GivenDocument(UploadDocument(asked.model.name, str(asked.digest), True, 0))

    def resolve(self, asked: RegistryCall) -> GivenDocument:
        """A version."""
        found = self._registry.resolve(asked.who, asked.model, asked.wanted)
        return GivenDocument(ResolvedDocument.of(found), found.digest)

    def alias(self, asked: RegistryCall) -> GivenDocument:
        """An alias."""
        name, ledger = asked.named["alias"], self._registry.ledger(asked.who, asked.model)
        entry = next((one for one in AliasEntry.all_of(ledger) if one.alias == name), None)
        if entry is None:
            raise NotFoundError(f"{asked.model.name} has no alias {name!r}")
        return GivenDocument(entry, entry.digest)

    def move(self, asked: RegistryCall) -> GivenDocument:
        """Move an alias."""
        alias, wanted = asked.named["alias"], asked.body["version"]
        found = self._registry.move(asked.who, asked.model, alias, wanted, asked.expected)
        return GivenDocument(ResolvedDocument.of(found), found.digest)

    def remove(self, asked: RegistryCall) -> GivenDocument:
        """Remove an alias."""
        is_gone = self._registry.remove(asked.who, asked.model, asked.named["alias"], asked.expected)
        return GivenDocument(RemovedAliasDocument(asked.model.name, asked.named["alias"], is_gone))

    def diff(self, asked: RegistryCall) -> GivenDocument:
        """The difference of two versions."""
        before, after = asked.query.get("from", ""), asked.query.get("to", "")
        found = self._registry.difference(asked.who, asked.model, before, after)
        return GivenDocument(DiffDocument.of(asked.model, found))

    def check(self, asked: RegistryCall) -> GivenDocument:
        """A version judged by the rules of this server."""
        found = self._registry.check(asked.who, asked.model, asked.wanted, asked.query.get("alias", ""))
        return GivenDocument(CheckDocument.of(asked.model, found))

    def check_by(self, asked: RegistryCall) -> GivenDocument:
        """A version judged by rules that came along."""
        gates, alias = parse_gates(asked.body["rules"], "the rules"), asked.query.get("alias", "")
        found = self._registry.check(asked.who, asked.model, asked.wanted, alias, gates)
        return GivenDocument(CheckDocument.of(asked.model, found))

    def events(self, asked: RegistryCall) -> GivenDocument:
        """Changes of all models."""
        return self._trail(asked, None)

    def model_events(self, asked: RegistryCall) -> GivenDocument:
        """Changes of a model."""
        return self._trail(asked, asked.model)

    def _trail(self, asked: RegistryCall, model: RepoId | None) -> GivenDocument:
        after, most = (_number(asked.query, *one) for one in (("after", 0), ("limit", _MOST_EVENTS)))
        found = islice(self._registry.events(asked.who, after, model), min(most, _MOST_EVENTS))
        return GivenDocument(TrailDocument(tuple(map(TrailEntry.of, found))))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    return whole_number(name, query.get(name, str(default)))


def whole_number(name: str, text: str) -> int:
    """The number that a parameter says. Raises UsageError."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise UsageError(f"{name} is no whole number")
    return int(text)
