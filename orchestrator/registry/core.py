"""The registry: versions, aliases and rights over an OCI registry that holds the bytes.

Each call names who asks, and refuses what the table of rights does not give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from shlex import quote

from orchestrator.core.dialects import main_branches
from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.errors import ConflictError, GateError, NotFoundError, UsageError
from orchestrator.registry.aliases import AliasMovedError
from orchestrator.registry.audit import Trail, TrailEvent
from orchestrator.registry.checks import AliasGate, CheckResult, Verdict
from orchestrator.registry.contents import VersionContents, VersionDifference, VersionFacts, difference
from orchestrator.registry.keeping import Keeper
from orchestrator.registry.ledger import ModelLedger
from orchestrator.registry.names import NEWEST, check_alias, is_digest, model_named, rights_to_move, upload_repository
from orchestrator.registry.storage import Storage
from orchestrator.registry.uploads import UploadState, VersionUploads
from orchestrator.registry.versions import Range, Version
from orchestrator.rights import Right, Subject, require, require_any
from orchestrator.signatures.bundle import MEDIA_TYPE
from orchestrator.signatures.vouching import unfit

_OPERATOR = "glm-aria operator"
"""The name in the trail of who runs the server. No token can have it: there are no blanks in the names of those."""


@dataclass(frozen=True, slots=True)
class ResolvedVersion:
    """A version or a digest of a model, with the aliases that stand for it, and where its manifest is."""

    model: RepoId
    version: Version | None
    aliases: tuple[str, ...]
    digest: str
    repository: str


@dataclass(frozen=True, slots=True)
class CheckedVersion:
    """The verdict of the gates before an alias on a version."""

    digest: str
    alias: str
    results: tuple[CheckResult, ...]

    @property
    def is_passed(self) -> bool:
        """True when no rule was broken."""
        return all(result.verdict is not Verdict.FAILED for result in self.results)


class Registry:
    """A facade's registry. Thread-safe; several processes on one state folder may have one each.

    Beside what each call names, all raise NotAllowedError, DiskIOError, and what `Storage` does.
    """

    def __init__(
        self,
        storage: Storage,
        uploads: VersionUploads,
        keeper: Keeper,
        trail: Trail,
        gates: Sequence[AliasGate] = (),
    ) -> None:
        self._storage = storage
        self.repository = storage.url
        self._uploads = uploads
        self._keeper = keeper
        self._trail = trail
        self._gates = tuple(gates)

    # -- reading

    def models(self, who: Subject) -> tuple[RepoId, ...]:
        """The models that somebody may read. Raises NotAllowedError for who has no right at all."""
        require_any(who)
        return tuple(model for model in map(model_named, self._storage.models()) if who.may(Right.READ, model))

    def ledger(self, who: Subject, model: RepoId) -> ModelLedger:
        """The versions and aliases of a model. Raises NotFoundError where there are none."""
        require(who, Right.READ, model)
        ledger = self._keeper.ledger(model)
        if ledger.is_empty:
            raise ledger.lack(model, "version")
        return ledger

    def known(self, who: Subject, model: RepoId) -> ModelLedger:
        """The ledger of a model as it is, which may be empty: the registry below is not asked."""
        require(who, Right.READ, model)
        return self._keeper.as_written(model)

    def resolve(self, who: Subject, model: RepoId, wanted: str = "") -> ResolvedVersion:
        """Find a version by itself, a range, an alias, a digest, or the first 40 digits of one.

        Without any, or as `main`, which clients of a Hub mean then, it is the alias of that name, else the newest
        release. Raises NotFoundError.
        """
        require(who, Right.READ, model)
        name, digest, ledger = self._found(model, wanted)
        if name is not None:
            self._keeper.hold(model, name, digest)
        return self._resolved(model, digest, ledger)

    def contents(self, who: Subject, model: RepoId, wanted: str) -> VersionContents:
        """The files of a version, and its config. Raises what `resolve` does."""
        return self._storage.contents(model, self.resolve(who, model, wanted).digest)

    def facts(self, who: Subject, model: RepoId, digest: str) -> VersionFacts:
        """Facts of a version. Raises NotFoundError."""
        require(who, Right.READ, model)
        return self._storage.facts(model, digest)

    def difference(self, who: Subject, model: RepoId, before: str, after: str) -> VersionDifference:
        """All that differs between two versions. Raises what `resolve` does."""
        return difference(self.contents(who, model, before), self.contents(who, model, after))

    def check(
        self, who: Subject, model: RepoId, wanted: str, alias: str, gates: Sequence[AliasGate] | None = None
    ) -> CheckedVersion:
        """Judge a version by the rules for an alias: those of this registry, if none are given. Raises what `resolve`
        does."""
        digest = self.resolve(who, model, wanted).digest
        return self._judged(model, alias, digest, self._keeper.as_written(model), gates)

    def events(self, who: Subject, after: int = 0, model: RepoId | None = None) -> Iterator[TrailEvent]:
        """The changes since the event of that number, the oldest first: of a model, or of all that one may read."""
        _require_reading(who, model)
        named = ((model_named(event.model), event) for event in self._trail.after(after))
        return (event for about, event in named if about == (model or about) and who.may(Right.READ, about))

    def news(self, who: Subject, model: RepoId | None, after: int, most: int) -> tuple[tuple[TrailEvent, ...], int]:
        """The same, at most so many, and the number up to which there are no more: to go on behind it."""
        newest = self._trail.newest()
        if newest < after:
            after = 0  # another trail has begun
        if self.newest_event(who, model) <= after:
            return (), newest  # what others changed is not read for who may not see it
        found = tuple(islice(self.events(who, after, model), most))
        last = found[-1].number if found else 0
        return found, last if len(found) == most else max(last, newest)

    def newest_event(self, who: Subject, model: RepoId | None = None) -> int:
        """The number of the last change of a model, or of all that one may read; 0 where there is none. That of all
        would tell who reads one namespace when there is something new in others."""
        _require_reading(who, model)
        if model is not None:
            return self._trail.newest(lambda name: name == model.name)
        return self._trail.newest(lambda name: who.may(Right.READ, model_named(name)))

    def uploads(self, who: Subject, model: RepoId) -> str:
        """The address of the repository to which somebody uploads versions of a model, before `publish`."""
        require(who, Right.PUBLISH, model)
        return f"{self._storage.address}/{upload_repository(who.name, model)}"

    # -- uploading

    def upload(self, who: Subject, model: RepoId, digest: Digest) -> UploadState:
        """The state of a blob that somebody uploads for a version. See `VersionUploads`."""
        require(who, Right.PUBLISH, model)
        return self._uploads.state(who.name, model, digest)

    def send(self, who: Subject, model: RepoId, digest: Digest, start: int, chunk: bytes) -> int:
        """Take a chunk of a blob. Raises ConflictError when it does not begin where the upload is."""
        require(who, Right.PUBLISH, model)
        return self._uploads.send(who.name, model, digest, start, chunk)

    def end_upload(self, who: Subject, model: RepoId, digest: Digest, data: bytes = b"") -> None:
        """End the upload of a blob; `data` is the whole of one of which nothing was sent before."""
        require(who, Right.PUBLISH, model)
        self._uploads.end(who.name, model, digest, data)

    def put_manifest(self, who: Subject, model: RepoId, body: bytes, media_type: str) -> str:
        """Keep a manifest of uploaded blobs, for `publish`; returns its digest."""
        require(who, Right.PUBLISH, model)
        return self._storage.put(model, upload_repository(who.name, model), body, media_type)

    # -- changing

    def publish(self, who: Subject, model: RepoId, version: Version, digest: str) -> bool:
        """Make what somebody uploaded a version; False when it was that already. It never changes after that.

        Raises ConflictError when the version is another digest, NotFoundError for what was not uploaded.
        """
        require(who, Right.PUBLISH, model)
        with self._keeper.alone(model, version.tag) as ledger:
            present = ledger.digest_of(version)
            if present not in (None, digest):
                raise ConflictError(
                    f"{model.name} has a version {version} already, and a version never changes",
                    hint="publish it as another version",
                    details=(str(present),),
                )
            # One at a time: docker-registry may read the link of a blob while another request writes the same one.
            self._storage.take_over(model, upload_repository(who.name, model), digest)
            if present is None:
                size = self._storage.contents(model, digest).size
                self._keeper.publish(model, ledger, version, _name(who), digest=digest, size=size)
            else:
                self._keeper.point(model, version.tag, digest)
        return present is None

    def sign(self, who: Subject, model: RepoId, version: Version, bundle: bytes) -> tuple[str, str]:
        """Attach a signature of its files to a version; returns the digests of both. Whose key it is by, is found out
        by who pulls. Raises NotFoundError for no version, UsageError for a signature of something else."""
        require(who, Right.PUBLISH, model)
        # One at a time: the list of what is attached may be a tag, which is written as a whole.
        with self._keeper.alone(model, version.tag) as ledger:
            digest = ledger.digest_of(version)
            if digest is None:
                raise ledger.lack(model, f"version {version}")
            files = {file.path: Digest.parse(file.digest) for file in self._storage.contents(model, digest).files}
            if (reason := unfit(bundle, files)) is not None:
                raise UsageError(f"this is no signature of {model.name}@{version}: {reason}")
            signature = str(self._storage.attach(model, digest, bundle, MEDIA_TYPE))
            self._keeper.sign(model, version, _name(who), digest)
        return digest, signature

    def move(self, who: Subject, model: RepoId, alias: str, wanted: str, expected: str) -> ResolvedVersion:
        """Have an alias stand for a version, if it stands for `expected` now: a digest, or empty for nothing.

        Raises ConflictError when it does not, GateError for a version that breaks the rules of the alias, UsageError
        for a name that an alias must not have, and what `resolve` does. Who publishes may move those for development.
        """
        _require_move(who, model, alias)
        digest, known = self.resolve(who, model, wanted).digest, self._keeper.ledger(model)
        if digest not in known.digests:
            raise NotFoundError(f"{model.name} has no version with the digest {digest}", hint="publish it first")
        if known.digest_of(alias) is None:
            check_alias(alias, [name for name, one in known.aliases.items() if one.digest])
        checked = self._judged(model, alias, digest, known)
        if not checked.is_passed:
            broken = [f"{one.rule}: {one.found}" for one in checked.results if one.verdict is Verdict.FAILED]
            raise GateError(
                f"{alias} of {model.name} is not moved: {'; '.join(broken)}",
                hint=f"glm-aria registry check {quote(f'reg://{model.name}@{wanted}')} --alias {quote(alias)}",
            )
        if self._storage.digest(model, digest) is None:
            raise NotFoundError(f"the registry has lost {digest} of {model.name}; {alias} is not moved")
        with self._changing(model, alias) as ledger:
            moved = self._keeper.move(model, ledger, alias, _name(who), to=digest, expected=expected)
        return self._resolved(model, digest, moved)

    def remove(self, who: Subject, model: RepoId, alias: str, expected: str) -> bool:
        """Remove an alias; False where the registry itself keeps the tag. Raises what `move` does."""
        _require_move(who, model, alias)
        with self._changing(model, alias) as ledger:
            if ledger.digest_of(alias) is None:
                raise ledger.lack(model, f"alias {alias!r}")
            self._keeper.move(model, ledger, alias, _name(who), to="", expected=expected)
            return self._storage.drop(model, alias)

    @contextmanager
    def _changing(self, model: RepoId, alias: str) -> Iterator[ModelLedger]:
        """The ledger for a move of an alias. Raises ConflictError for one that is not where it was expected."""
        try:
            with self._keeper.alone(model, alias) as ledger:
                yield ledger
        except AliasMovedError as error:
            raise ConflictError(
                f"{alias} of {model.name} stands for {'something else' if error.present else 'nothing'}, and not for "
                "what you expected; it was not moved",
                hint="see who moved it: glm-aria registry log",
                details=tuple(filter(None, (error.present,))),
            ) from None

    # -- what names mean

    def _resolved(self, model: RepoId, digest: str, ledger: ModelLedger) -> ResolvedVersion:
        names = tuple(sorted(name for name, alias in ledger.aliases.items() if alias.digest == digest))
        return ResolvedVersion(model, ledger.version_of(digest), names, digest, self._storage.url(model))

    def _found(self, model: RepoId, wanted: str) -> tuple[str | Version | None, str, ModelLedger]:
        """The alias or version that a name stands for, if it is one, its digest, and the ledger that says so."""
        wanted, ledger = wanted or main_branches()[0], self._keeper.as_written(model)
        if (found := _named(ledger, wanted)) is None:
            ledger = self._keeper.ledger(model)
            if (found := _named(ledger, wanted)) is None:
                wanted = NEWEST if wanted in main_branches() else wanted
                found = _newest(ledger, wanted)
        if found is not None:
            return *found, ledger
        digest = self._by_digest(model, ledger, wanted) if is_digest(wanted) else None
        if digest is None:
            aliases = sorted(name for name, alias in ledger.aliases.items() if alias.digest)
            known = [*aliases, *map(str, sorted(ledger.versions, reverse=True)[:5])]
            what = "version that is released" if wanted == NEWEST else f"version or alias that {wanted!r} means"
            raise ledger.lack(model, what, f"it has {', '.join(known)}" if known else None)
        return None, digest, ledger

    def _by_digest(self, model: RepoId, ledger: ModelLedger, wanted: str) -> str | None:
        if wanted.startswith("sha256:"):
            return self._storage.digest(model, wanted)
        return next((one for one in ledger.digests if one.removeprefix("sha256:").startswith(wanted)), None)

    def _judged(
        self, model: RepoId, alias: str, digest: str, ledger: ModelLedger, gates: Sequence[AliasGate] | None = None
    ) -> CheckedVersion:
        gates = [gate for gate in (self._gates if gates is None else gates) if gate.is_before(model, alias)]
        if not gates:
            return CheckedVersion(digest, alias, ())
        known = ledger.aliases.get(alias)
        version = self._storage.contents(model, digest)
        # Of one that was removed what it stood for: else its rules would be passed by removing it first.
        before = self._storage.contents(model, known.last) if known and known.last else None
        return CheckedVersion(digest, alias, tuple(result for gate in gates for result in gate.check(version, before)))


def _named(ledger: ModelLedger, name: str) -> tuple[str | Version, str] | None:
    """The alias or version of exactly this name, and its digest."""
    for one in (name, Version.of_tag(name)):
        if one is not None and (digest := ledger.digest_of(one)) is not None:
            return one, digest
    return None


def _newest(ledger: ModelLedger, wanted: str) -> tuple[Version, str] | None:
    """The newest version in a range, and its digest."""
    try:
        newest = Range.parse(wanted).newest(ledger.versions)
    except ValueError:
        return None
    return (newest, ledger.versions[newest].digest) if newest else None


def _require_reading(who: Subject, model: RepoId | None) -> None:
    """Refuse who may not read a model, or without one anything at all."""
    if model is None:
        require_any(who)
    else:
        require(who, Right.READ, model)


def _name(who: Subject) -> str:
    return who.name or _OPERATOR


def _require_move(who: Subject, model: RepoId, alias: str) -> None:
    if not any(who.may(right, model) for right in rights_to_move(alias)):
        require(who, Right.PROMOTE, model)
