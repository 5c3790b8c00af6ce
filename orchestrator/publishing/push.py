"""The flow of a push: look at a folder, hash it, upload what the registry lacks, then make it a version, then move an
alias. Nothing can be seen under the version before all of it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.registries import commit_of
from orchestrator.disk.file_stat import Identity
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, FileProgress, Phase, Queued
from orchestrator.lists.json_text import parse_json
from orchestrator.oci.cards import CARD, license_of
from orchestrator.oci.manifest import digest_of, render
from orchestrator.proof.hashing import read_both, read_whole
from orchestrator.publishing.destinations import Destination, taken
from orchestrator.publishing.folder import LocalFile, ModelFolder, read_folder
from orchestrator.publishing.modelpack import ModelFacts, ModelFile, pack
from orchestrator.publishing.uploads import BlobUploads, Brought, Content, OnBytes, chunk_of
from orchestrator.registry.versions import Version
from orchestrator.signatures.vouching import SigningKey, sign
from orchestrator.system.signals import Stop
from orchestrator.system.small_files import RECORD_BYTES, SETTINGS_BYTES, read_small
from orchestrator.system.threads import Pool

_AT_ONCE = 4
"""Files that are hashed, or uploaded, at the same time."""
_SMALL, _SMALL_AT_ONCE = 64 << 10, 16
"""Bytes of a file that costs a registry round trips rather than bandwidth, and how many of them are asked for, or
uploaded, at the same time. Servers of ours have longer bodies of one client only four at once."""
_GIT_DIGITS = 40
"""Digits of the name of a blob of the cache that git knows, and not LFS."""


_Ways = Mapping[Digest, Brought]
"""The ways of blobs that were not in the repository."""


class BlobFate(StrEnum):
    """The way in which a file gets into the registry."""

    KEEP = "keep"  # it is there
    BRING = "bring"  # it is mounted from another repository, or uploaded


@dataclass(frozen=True, slots=True)
class PushRequest:
    """The wish to push a folder; `alias` moves once the version is there, and signed by `key` if there is one."""

    folder: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    alias: str | None = None
    is_dry_run: bool = False
    key: SigningKey | None = None


@dataclass(frozen=True, slots=True)
class PushedFile:
    """A file of the version, and how it got there: `sent` are bytes of this run, `begun` those of a run before it that
    was stopped, `mounted` names a repository."""

    path: str
    size: int
    digest: Digest
    fate: BlobFate
    sent: int = 0
    mounted: str | None = None
    begun: int = 0


@dataclass(frozen=True, slots=True)
class PushReport:
    """A push that was done, or with `is_dry_run` would be. `was_there`: the version was this one already. `signed_by`
    is the key as the user calls it."""

    name: str
    version: str
    digest: Digest
    files: tuple[PushedFile, ...]
    alias: str | None
    was_there: bool
    is_dry_run: bool
    signed_by: str | None = None

    @property
    def sent(self) -> int:
        """Bytes that this run sent; a blob of several files once."""
        return sum({file.digest: file.sent for file in self.files}.values())

    @property
    def commit(self) -> str:
        """The commit by which caches know the version."""
        return commit_of(self.digest)


@dataclass(slots=True)
class HashedFiles:
    """The digests of the files of the last push, by what identifies their content: for who pushes a folder again and
    again."""

    known: dict[tuple[str, Identity], ModelFile] = field(default_factory=dict)


def push(
    request: PushRequest,
    destination: Destination,
    *,
    emit: Emit,
    stop: Stop,
    hashed: HashedFiles | None = None,
) -> PushReport:
    """Push a folder.

    Raises what `read_folder` does, ConflictError for a version that is another one already and for an alias that was
    moved meanwhile, IntegrityError for a file that changes under way, Interrupted, and what the registry says. An alias
    that cannot be moved is refused before anything is sent; where it is refused after that, `details` say so.
    """
    if request.alias:
        destination.check_alias(request.alias)
    folder = read_folder(request.folder, request.include, request.exclude)
    expected = destination.alias(request.alias) if request.alias else ()
    present = destination.present()
    files = _hashed(folder, hashed or HashedFiles(), emit, stop)
    made = pack(files, _facts(destination, folder))
    body = render(made.manifest)
    digest = digest_of(body)
    if present not in (None, str(digest)) and Version.of_tag(destination.version):
        raise taken(f"{destination.name}@{destination.version}", str(present))
    contents = _contents(folder, files)
    chunk = chunk_of(sum(content.size for content in contents.values()))
    uploads = BlobUploads(destination.blobs, chunk=chunk, stop=stop, on_bytes=_told(emit))
    missing = _missing(contents, uploads, emit)
    if request.is_dry_run:
        ways: _Ways = dict.fromkeys(missing, Brought())
    else:
        config = made.manifest.config
        described = Content(config.digest, config.size, "its config", made.config)
        ways = _brought(contents, missing, described, uploads, emit)
        destination.publish(digest, body, made.manifest.media_type)
        if request.key:
            signed = {file.path: file.digest for file in files}
            destination.sign(digest, sign(destination.name, signed, request.key))
        if request.alias and expected != (str(digest),):
            _move(destination, request.alias, digest, expected)
    return PushReport(
        destination.name,
        destination.version,
        digest,
        tuple(_pushed(file, ways, missing) for file in files),
        request.alias,
        was_there=present == str(digest),
        is_dry_run=request.is_dry_run,
        signed_by=request.key.public.name if request.key else None,
    )


def _move(destination: Destination, alias: str, digest: Digest, expected: tuple[str, ...]) -> None:
    try:
        destination.move(alias, digest, expected)
    except GlmAriaError as error:
        error.details += (f"{destination.name}@{destination.version} was pushed; the alias {alias!r} was not moved",)
        raise


def _hashed(folder: ModelFolder, hashed: HashedFiles, emit: Emit, stop: Stop) -> tuple[ModelFile, ...]:
    unknown = [file for file in folder.files if (file.path, file.identity) not in hashed.known]
    emit(Queued(len(unknown), sum(file.size for file in unknown), "hash"))
    with_git = folder.origin is not None
    with Pool(_AT_ONCE, "hash") as pool:
        reads = {file: pool.submit(_read, file, emit, stop, with_git=with_git) for file in unknown}
        _ended(reads.values())
    read = {(file.path, file.identity): step.result() for file, step in reads.items()}
    now = [(file.path, file.identity) for file in folder.files]
    hashed.known = {key: read.get(key) or hashed.known[key] for key in now}
    return tuple(hashed.known.values())


def _read(file: LocalFile, emit: Emit, stop: Stop, *, with_git: bool) -> ModelFile:
    """A file with its sha256; of a snapshot of the Hub's, with the digest that the Hub lists, too."""
    done = 0
    # Progress is told apart by digests, and this one is not known yet.
    named = digest_of(file.path.encode())

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        emit(FileProgress(named, file.path, Phase.CHECKING, done, file.size))

    if with_git and len(file.place.name) == _GIT_DIGITS:
        sha256, git = read_both(file.place, stop=stop, on_bytes=on_bytes)
        found = ModelFile(file.path, file.size, sha256, git)
    else:
        found = ModelFile(
            file.path, file.size, read_whole(file.place, Algorithm.SHA256, stop=stop, on_bytes=on_bytes).digest
        )
    file.refuse_change()
    emit(FileProgress(named, file.path, Phase.DONE, file.size, file.size))
    return found


def _facts(destination: Destination, folder: ModelFolder) -> ModelFacts:
    by_path = {file.path: file for file in folder.files}
    card, config = by_path.get(CARD), by_path.get("config.json")
    license_name, listed = None, None
    with suppress(OSError):
        license_name = license_of(read_small(card.place, RECORD_BYTES).decode("utf-8", "replace")) if card else None
    with suppress(OSError, ValueError):
        listed = parse_json(read_small(config.place, SETTINGS_BYTES), has_nan=True) if config else None
    for file in filter(None, (card, config)):
        file.refuse_change()  # what is said of a version has to stand in its files
    facts: dict[str, Any] | None = listed if isinstance(listed, dict) else None
    # A snapshot of the cache may have come from the registry itself, by its own server.
    origin = None if folder.origin and destination.holds(folder.origin.repo) else folder.origin
    return ModelFacts(destination.name, destination.version, origin, license_name, facts)


def _contents(folder: ModelFolder, files: tuple[ModelFile, ...]) -> dict[Digest, Content]:
    """The blobs of the files, each digest once."""
    places = {file.path: file for file in folder.files}
    found: dict[Digest, Content] = {}
    for file in files:
        found.setdefault(file.digest, Content(file.digest, file.size, file.path, file=places[file.path]))
    return found


def _brought(
    contents: Mapping[Digest, Content], missing: Mapping[Digest, int], config: Content, uploads: BlobUploads, emit: Emit
) -> _Ways:
    """Have the blobs that it lacks in the repository."""
    wanted = [contents[digest] for digest in missing]
    # The biggest first: a big one at the end would go alone.
    order = sorted(wanted, key=lambda content: -content.size)
    if (begun := uploads.done(config.digest)) is not None:
        missing = {**missing, config.digest: begun}
        order = [config, *order]
    with Pool(_AT_ONCE, "upload") as pool, Pool(_SMALL_AT_ONCE, "upload-small") as small:
        steps = {
            content.digest: (pool if content.size > _SMALL else small).submit(
                uploads.bring, content, missing[content.digest]
            )
            for content in order
        }
        _ended(steps.values())
    for content in wanted:
        emit(FileProgress(content.digest, content.name, Phase.DONE, content.size, content.size))
    return {content.digest: steps[content.digest].result() for content in wanted}


def _missing(contents: Mapping[Digest, Content], uploads: BlobUploads, emit: Emit) -> dict[Digest, int]:
    """The blobs that the repository lacks, with the bytes that a push before this one has sent of each."""
    with Pool(_SMALL_AT_ONCE, "look") as pool:
        looks = {digest: pool.submit(uploads.done, digest) for digest in contents}
        _ended(looks.values())
    found = {digest: done for digest, look in looks.items() if (done := look.result()) is not None}
    emit(Queued(len(found), sum(contents[digest].size for digest in found), "upload"))
    return found


def _told(emit: Emit) -> OnBytes:
    """Progress of bytes that arrive."""

    def on_bytes(content: Content, done: int, speed: int) -> None:
        if content.file is not None:  # the config is no file of the user's
            emit(FileProgress(content.digest, content.name, Phase.FETCHING, done, content.size, speed))

    return on_bytes


def _pushed(file: ModelFile, ways: _Ways, missing: Mapping[Digest, int]) -> PushedFile:
    if file.digest not in ways:
        return PushedFile(file.path, file.size, file.digest, BlobFate.KEEP)
    way, begun = ways[file.digest], missing[file.digest]
    return PushedFile(file.path, file.size, file.digest, BlobFate.BRING, way.sent, way.mounted, begun)


def _ended(steps: Iterable[Future[Any]]) -> None:
    """Wait for all steps; the first error ends the others, and is raised."""
    futures = tuple(steps)
    done, others = wait(futures, return_when=FIRST_EXCEPTION)
    for step in others:
        step.cancel()
    for step in done:
        step.result()
