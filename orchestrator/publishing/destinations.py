"""Destinations of a push: a tag of a registry, or a version in a registry of models, which alone writes its tags."""

from __future__ import annotations

import shlex
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.core.registries import is_tag, namespace_of
from orchestrator.errors import ConflictError, NotAllowedError, UsageError
from orchestrator.oci.attached import attach
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.client import Client, Upload
from orchestrator.oci.uploads import RepositoryUploads
from orchestrator.publishing.uploads import BlobTarget
from orchestrator.registry.document import RightsDocument
from orchestrator.registry.names import check_alias, rights_to_move
from orchestrator.registry.uploads import UploadState
from orchestrator.registry.versions import Version
from orchestrator.signatures.bundle import MEDIA_TYPE


class Destination(Protocol):
    """The place that a model is pushed to. Every method raises what `oci.client.Client` does."""

    @property
    def name(self) -> str:
        """The name of the model, for people and for its manifest."""

    @property
    def version(self) -> str:
        """The version or the tag."""

    @property
    def blobs(self) -> BlobTarget:
        """The place for its blobs."""

    def holds(self, repo: RepoId) -> bool:
        """True for a name of a model that this registry has, or may have: it is no name of a model of the Hub."""

    def present(self) -> str | None:
        """The digest that the version has now."""

    def publish(self, digest: Digest, body: bytes, media_type: str) -> None:
        """Make this manifest the version, once all blobs are there. Raises ConflictError for a version that is another
        one already."""

    def sign(self, digest: Digest, bundle: bytes) -> None:
        """Attach a signature to the version that was published, unless it is there."""

    def check_alias(self, name: str) -> None:
        """Refuse an alias before anything is sent: a name that none may have (UsageError), and one that the caller may
        not move (NotAllowedError)."""

    def alias(self, name: str) -> tuple[str, ...]:
        """The digest for which an alias stands now, if it does."""

    def move(self, name: str, digest: Digest, expected: tuple[str, ...]) -> None:
        """Have the alias stand for the version. Raises ConflictError when it is not as expected."""


class TagDestination:
    """A tag of a repository of any registry. A tag that reads as a version is never moved; others are.

    `donors` are names of repositories of the same registry that may have some of the blobs.
    """

    def __init__(self, client: Client, tag: str, begun: BegunUploads, donors: tuple[str, ...] = ()) -> None:
        self._client = client
        self.version = tag
        self.blobs: BlobTarget = RepositoryUploads(client, begun, donors)

    @property
    def name(self) -> str:
        """See `Destination.name`."""
        return self._client.repository.name

    def holds(self, repo: RepoId) -> bool:
        """See `Destination.holds`."""
        return namespace_of(repo.name) == namespace_of(self.name)

    def present(self) -> str | None:
        """See `Destination.present`."""
        found = self._client.head(self.version)
        return str(found) if found else None

    def publish(self, digest: Digest, body: bytes, media_type: str) -> None:
        """See `Destination.publish`."""
        present = self.present()
        if present not in (None, str(digest)) and Version.of_tag(self.version):
            raise taken(f"{self._client.repository}:{self.version}", str(present))
        if present != str(digest):
            self._client.put(self.version, body, media_type)

    def sign(self, digest: Digest, bundle: bytes) -> None:
        """See `Destination.sign`."""
        attach(self._client, self._client.manifest(str(digest)).descriptor, bundle, MEDIA_TYPE)

    def check_alias(self, name: str) -> None:
        """See `Destination.check_alias`. What the caller may do a registry tells to who does it."""
        if not is_tag(name) or Version.of_tag(name):
            raise UsageError(
                f"{name!r} is no name for a tag that moves",
                hint="letters, digits and . _ -, and not a whole version such as 1.2.3, which never changes",
            )

    def alias(self, name: str) -> tuple[str, ...]:
        """See `Destination.alias`."""
        found = self._client.head(name)
        return (str(found),) if found else ()

    def move(self, name: str, digest: Digest, expected: tuple[str, ...]) -> None:
        """See `Destination.move`. A registry by itself compares nothing, so somebody may move it in between."""
        present = self.alias(name)
        if present != expected:
            now = f"stands for {present[0][:19]} now" if present else "is gone now"
            raise ConflictError(f"the alias {name!r} was moved meanwhile: it {now}", details=present)
        self._client.tag(name, str(digest))


class ModelServer(Protocol):
    """A registry of models, by its REST interface. Raises what its refusals stand for."""

    def rights(self, model: str) -> RightsDocument:
        """The rights of who asks."""

    def has(self, model: str) -> bool:
        """True for a model that is there and may be read."""

    def digest_of(self, model: str, version: str) -> str | None:
        """The digest of this very version; None when there is none."""

    def present(self, model: str, alias: str) -> str:
        """The digest for which an alias stands; empty for nothing."""

    def move(self, model: str, alias: str, wanted: str, expected: str) -> object:
        """Have an alias stand for a version, if it stands for this digest."""

    def publish(self, model: str, version: str, manifest: bytes, media_type: str) -> None:
        """Make a manifest a version."""

    def sign(self, model: str, version: str, bundle: bytes) -> None:
        """Attach a signature to a version."""

    def upload(self, model: str, digest: str) -> UploadState:
        """The state of a blob. One that the model has already, in another version, is there."""

    def send(self, model: str, digest: str, start: int, chunk: bytes) -> int:
        """Send a chunk of a blob that begins at byte `start`; returns the bytes that are there then."""

    def end_upload(self, model: str, digest: str, data: bytes = b"") -> None:
        """End an upload; `data` is the whole of a blob of which nothing was sent before."""


class ModelDestination:
    """A version in a registry of models. Blobs go through its server: a chunk counts there when it is whole, so a push
    that was killed, or a line that broke, costs a chunk."""

    def __init__(self, server: ModelServer, name: str, version: str) -> None:
        self.name = name
        self.version = version
        self._server = server
        self.blobs: BlobTarget = _ServerUploads(server, name)

    def holds(self, repo: RepoId) -> bool:
        """See `Destination.holds`. The server is asked for a model in another namespace."""
        return namespace_of(repo.name) == namespace_of(self.name) or self._server.has(repo.name)

    def present(self) -> str | None:
        """See `Destination.present`."""
        return self._server.digest_of(self.name, self.version)

    def publish(self, digest: Digest, body: bytes, media_type: str) -> None:  # noqa: ARG002 - the server hashes it
        """See `Destination.publish`."""
        self._server.publish(self.name, self.version, body, media_type)

    def sign(self, digest: Digest, bundle: bytes) -> None:  # noqa: ARG002 - a version never changes
        """See `Destination.sign`."""
        self._server.sign(self.name, self.version, bundle)

    def check_alias(self, name: str) -> None:
        """See `Destination.check_alias`."""
        check_alias(name)
        found = self._server.rights(self.name)
        if rights_to_move(name).isdisjoint(found.rights):
            who = repr(found.who) if found.who else "who shows no token"
            command = shlex.join(("glm-aria", "registry", "alias", f"{self.name}@{self.version}", name))
            raise NotAllowedError(
                f"{who} may not move an alias of {self.name}, which needs the right to promote; nothing was pushed",
                hint=f"push it without --alias; who may promote moves it then: {command}",
            )

    def alias(self, name: str) -> tuple[str, ...]:
        """See `Destination.alias`."""
        found = self._server.present(self.name, name)
        return (found,) if found else ()

    def move(self, name: str, digest: Digest, expected: tuple[str, ...]) -> None:
        """See `Destination.move`."""
        self._server.move(self.name, name, str(digest), "".join(expected))


class _ServerUploads:
    """Implements `BlobTarget` by the server of a registry of models. It takes over what the model has by itself."""

    def __init__(self, server: ModelServer, model: str) -> None:
        self._server = server
        self._model = model

    def done(self, digest: Digest) -> int | None:
        found = self._server.upload(self._model, str(digest))
        return None if found.is_there else found.done

    def take_over(self, digest: Digest) -> str | None:  # noqa: ARG002 - the server has done so
        return None

    def open(self, digest: Digest) -> Upload:
        return Upload("", self._server.upload(self._model, str(digest)).done)

    def put(self, digest: Digest, data: bytes) -> None:
        self._server.end_upload(self._model, str(digest), data)

    def send(self, digest: Digest, upload: Upload, chunk: bytes) -> Upload:
        return Upload("", self._server.send(self._model, str(digest), upload.done, chunk))

    def finish(self, digest: Digest, upload: Upload) -> None:  # noqa: ARG002 - the server knows it
        self._server.end_upload(self._model, str(digest))


def taken(name: str, present: str) -> ConflictError:
    """The error about a version that is there already, with other bytes."""
    return ConflictError(
        f"{name} is there already, and a version never changes",
        hint="push it as another version",
        details=(present,),
    )
