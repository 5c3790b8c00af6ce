"""The OCI registry below: tags and manifests of models, read and written with the facade's own tokens."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from orchestrator.core.files import Digest, RepoTree
from orchestrator.core.refs import RepoId
from orchestrator.core.registries import Repository
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError, UnsafeError, UsageError
from orchestrator.oci.attached import attach
from orchestrator.oci.cards import CARD, bases_of
from orchestrator.oci.client import Client, FetchedManifest, catalog
from orchestrator.oci.manifest import REVISION, SOURCE, Manifest, digest_of, files_of, parse
from orchestrator.oci.registries import MOST, Registries
from orchestrator.registry.contents import CONFIG, VersionContents, VersionFacts, VersionFile, parse_config
from orchestrator.registry.names import is_model
from orchestrator.signatures.bundle import MEDIA_TYPE

_MOST_CARD = 256 << 10
"""Bytes of a card that is read."""


class Storage:
    """One registry. `address` is `https://host:port`. Thread-safe; raises what `Client` does."""

    def __init__(self, registries: Registries, address: str) -> None:
        self._registries = registries
        self.address = address

    def models(self) -> tuple[str, ...]:
        """The names of all repositories that hold models, or nothing yet."""
        return tuple(sorted(name for name in catalog(self._registries, self.address) if is_model(name)))

    def url(self, model: RepoId) -> str:
        """The address of a model's repository."""
        return f"{self.address}/{model.name}"

    def tags(self, model: RepoId) -> tuple[str, ...]:
        """All tags of a model."""
        return self._at(model.name).tags()

    def digest(self, model: RepoId, reference: str) -> str | None:
        """The digest of a tag or of a manifest; None where there is none."""
        found = self._at(model.name).head(reference)
        return str(found) if found else None

    def contents(self, model: RepoId, digest: str) -> VersionContents:
        """The files of a manifest, and its config. Raises NotFoundError, ProtocolError, UnsafeError for no model."""
        client = self._at(model.name)
        manifest = self._manifest(client.manifest(digest))
        files = _listed(manifest, model, client).files
        config = next((file for file in files if file.path == CONFIG and file.size <= MOST), None)
        return VersionContents(
            digest,
            tuple(VersionFile(file.path, file.size, str(file.digest)) for file in files),
            parse_config(client.blob(config.digest)) if config else None,
        )

    def facts(self, model: RepoId, digest: str) -> VersionFacts:
        """Facts of a version, by its manifest, its card and what is attached. Raises what `contents` does."""
        client = self._at(model.name)
        manifest = self._manifest(client.manifest(digest))
        card = next((layer for layer in manifest.layers if layer.path == CARD and layer.size <= _MOST_CARD), None)
        attached = client.referrers(Digest.parse(digest)).manifests
        return VersionFacts(
            manifest.annotations.get(SOURCE, ""),
            manifest.annotations.get(REVISION, ""),
            bases_of(client.blob(card.digest).decode("utf-8", "replace")) if card else (),
            any(entry.artifact_type == MEDIA_TYPE for entry in attached),
        )

    def point(self, model: RepoId, tag: str, digest: str) -> None:
        """Have a tag stand for a manifest of the model."""
        self._at(model.name).tag(tag, digest)

    def attach(self, model: RepoId, digest: str, content: bytes, kind: str) -> Digest:
        """Attach content to a manifest of the model; the digest of the artifact."""
        client = self._at(model.name)
        return attach(client, client.manifest(digest).descriptor, content, kind)

    def drop(self, model: RepoId, tag: str) -> bool:
        """Remove a tag; False where the registry cannot (docker-registry 2.8)."""
        with suppress(GlmAriaError):
            self._at(model.name).delete(tag)
        return self.digest(model, tag) is None

    def take_over(self, model: RepoId, upload: str, digest: str) -> None:
        """Have a manifest in the model's repository that somebody uploaded to the repository `upload`, with its blobs.

        No bytes move: the registry links its blobs. Raises NotFoundError for what is not there, and UsageError for
        what nobody could pull.
        """
        target, source = self._at(model.name), self._at(upload)
        if target.head(digest) is not None:
            return
        fetched = source.manifest(digest)
        for blob, size in self._blobs(model, fetched):
            # Only what this upload has: a registry mounts what it has anywhere, for anybody who names it.
            if not _is_there(source, blob, size):
                raise _missing(blob)
            if target.blob_size(blob) is None:
                _mount(target, blob, source)
        target.put(digest, fetched.body, fetched.media_type)

    def put(self, model: RepoId, upload: str, body: bytes, media_type: str) -> str:
        """Keep a manifest in the repository `upload`, with the blobs that the model has in other versions; its digest.
        Raises what `take_over` does."""
        target, source = self._at(upload), self._at(model.name)
        fetched = FetchedManifest(digest_of(body), media_type, body)
        for blob, size in self._blobs(model, fetched):
            if not _is_there(target, blob, size):
                if not _is_there(source, blob, size):
                    raise _missing(blob)
                _mount(target, blob, source)
        return str(target.put(str(fetched.digest), body, media_type))

    def _blobs(self, model: RepoId, fetched: FetchedManifest) -> Iterable[tuple[Digest, int]]:
        """The blobs of a version to be, with their sizes by its manifest. Raises UsageError for what is none."""
        try:
            manifest = self._manifest(fetched)
            _listed(manifest, model, self._at(model.name))
        except (ProtocolError, UnsafeError, NotFoundError) as error:  # the fault of who sent it
            hint = None if error.hint == error.usual_hint else error.hint
            raise UsageError(f"{fetched.digest} is no version of a model: {error.message}", hint=hint) from error
        return dict.fromkeys((blob.digest, blob.size) for blob in (manifest.config, *manifest.layers))

    def _manifest(self, fetched: FetchedManifest) -> Manifest:
        found = parse(fetched.body, fetched.media_type, self.address)
        if not isinstance(found, Manifest):
            raise ProtocolError(f"{fetched.digest} is an index of manifests, and no version of a model")
        return found

    def _at(self, name: str) -> Client:
        return Client(self._registries, Repository(self.address, name))


def _is_there(client: Client, blob: Digest, size: int) -> bool:
    """True when a repository has a blob. Raises UsageError for one of another size than its manifest says."""
    found = client.blob_size(blob)
    if found not in (None, size):
        raise UsageError(f"the manifest says that {blob} has {size} bytes, and it has {found}")
    return found is not None


def _mount(target: Client, blob: Digest, source: Client) -> None:
    if target.mount(blob, source.repository.name) is not None:
        place = target.repository.place
        raise ProtocolError(f"{place} does not mount {blob} from one repository in another", source=place)


def _missing(blob: Digest) -> NotFoundError:
    return NotFoundError(f"{blob} was not uploaded", hint="push all blobs of the version first")


def _listed(manifest: Manifest, model: RepoId, client: Client) -> RepoTree:
    """The files of a manifest, as a pull lists them. Raises what `files_of` and `RepoTree.checked` do."""
    files, unnamed = files_of(manifest, model.name, client.repository.place)
    return RepoTree.checked("", files, unnamed)
