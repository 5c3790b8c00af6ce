"""Manifests of an OCI registry that hold files: bytes to typed values and back. No I/O.

Read are ModelPack (the CNCF's model-spec), with the names that it had as `cnai`, and what ORAS pushes: artifacts of one
or more files, in the OCI form or in Docker's. A layer is a file when an annotation gives its path and its blob is the
file itself. Annotations are anybody's word: a path is checked where it becomes a `RepoFile`, and digests prove bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.files import MAX_FILES, Algorithm, Digest, RepoFile
from orchestrator.errors import NotFoundError, ProtocolError
from orchestrator.lists.json_text import parse_folded_json
from orchestrator.net import shapes

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)

MODEL = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
_MODELS = (MODEL, "application/vnd.cnai.model.manifest.v1+json")
EMPTY = "application/vnd.oci.empty.v1+json"

FILEPATH = "org.cncf.model.filepath"
TITLE = "org.opencontainers.image.title"
_PATHS = (FILEPATH, "org.cnai.model.filepath", TITLE)
"""The annotations of a layer that give its path, the most specific first."""
SOURCE = "org.opencontainers.image.source"
CREATED = "org.opencontainers.image.created"
REVISION = "org.opencontainers.image.revision"
_UNPACK = "io.deis.oras.content.unpack"
# ModelPack has `.raw` for a file as it is, and `.tar`, `.tar+gzip`, `.tar+zstd` for one in an archive.
_ARCHIVE = re.compile(r"application/vnd\.(?:cncf|cnai)\.model\..*\.tar(?:\+\w+)?", re.ASCII)
# What BuildKit puts beside an image in its index.
_ATTACHED = "vnd.docker.reference.type"
_SHOWN = 200
_KEYS = (
    *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"),
    *("digest", "size", "urls", "data", "platform"),
)
"""The keys of the specification. docker, skopeo and oras, which are in Go, read them in any case."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content: what it is, its digest, and its bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None

    @property
    def path(self) -> str | None:
        """The path that annotations give the content as a file, unchecked."""
        return next((self.annotations[name] for name in _PATHS if name in self.annotations), None)

    @property
    def is_archive(self) -> bool:
        """True when the content is not the file, but an archive with it."""
        return self.annotations.get(_UNPACK) == "true" or bool(_ARCHIVE.fullmatch(self.media_type))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest of layers. `artifact_type` is what the whole is, where it says so."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    subject: Descriptor | None = None
    media_type: str = OCI_MANIFEST

    @property
    def is_model(self) -> bool:
        """True for ModelPack, by its present name or the older one."""
        return self.artifact_type in _MODELS


@dataclass(frozen=True, slots=True)
class Index:
    """A manifest of manifests."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)


def digest_of(body: bytes) -> Digest:
    """The digest by which a registry knows these bytes."""
    return Digest(Algorithm.SHA256, hashlib.sha256(body).hexdigest())


def parse(body: bytes, media_type: str, site: str) -> Manifest | Index:
    """Read what `site` sent as a manifest, with the `Content-Type` it came with. Raises ProtocolError, UnsafeError."""
    try:
        value = parse_folded_json(body, _KEYS)
    except ValueError as error:
        raise shapes.odd(site, f"the manifest is no JSON with one meaning ({str(error)[:_SHOWN]})") from error
    found = shapes.mapping(value, site, "the manifest")
    said = found.get("mediaType", media_type.partition(";")[0].strip())
    if said in INDEXES:
        entries = _bounded(found, "manifests", site)
        return Index(tuple(_descriptor(entry, site) for entry in entries), _annotations(found, site))
    if said not in MANIFESTS:
        raise ProtocolError(
            f"{site} sent a manifest of the kind {str(said)[:_SHOWN]!r}; OCI's and Docker's second version are read",
            source=site,
        )
    subject = found.get("subject")
    return Manifest(
        _descriptor(found.get("config"), site),
        tuple(_descriptor(entry, site) for entry in _bounded(found, "layers", site)),
        _annotations(found, site),
        _optional(found, "artifactType", site),
        None if subject is None else _descriptor(subject, site),
        str(said),
    )


def render(manifest: Manifest | Index) -> bytes:
    """The bytes of a manifest: the same for the same manifest."""
    parts = _index(manifest) if isinstance(manifest, Index) else _manifest(manifest)
    if manifest.annotations:
        parts["annotations"] = dict(sorted(manifest.annotations.items()))
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()


def model_of(index: Index, name: str, site: str) -> Descriptor:
    """The one manifest of an index that can be a model.

    Raises NotFoundError when there is none, or several that nothing tells apart.
    """
    found = [entry for entry in index.manifests if entry.media_type in MANIFESTS and _ATTACHED not in entry.annotations]
    found = [entry for entry in found if entry.artifact_type in _MODELS] or found
    if len({entry.digest for entry in found}) == 1:
        return found[0]
    several = ", ".join(f"@{entry.digest}" for entry in found[:5])
    raise NotFoundError(
        f"{name} at {site} is an index of {len(found)} manifests, and none of them is known to be the model",
        hint=f"name the one that you mean by its digest: {several}" if found else None,
        source=site,
    )


def files_of(manifest: Manifest, name: str, site: str) -> tuple[tuple[RepoFile, ...], tuple[str, ...]]:
    """The files of a manifest, and a word on each layer that has no path, which no client writes to a disk.

    Raises NotFoundError for one without files, such as an image, ProtocolError for archives, and UnsafeError for a path
    that must not reach a disk.
    """
    files: list[RepoFile] = []
    unnamed: list[str] = []
    for layer in manifest.layers:
        path = layer.path
        if path is None:
            unnamed.append(f"{str(layer.digest)[:19]} ({layer.media_type[:_SHOWN]!r})")
            continue
        if layer.is_archive:
            raise ProtocolError(
                f"{name} at {site} holds {path[:_SHOWN]!r} in an archive ({layer.media_type[:_SHOWN]}), and only files "
                "that are a layer of their own can be proven one by one; nothing was written",
                hint="push it with raw layers: glm-aria push, modctl build --raw, or oras push of files",
                source=site,
            )
        files.append(RepoFile(path, layer.size, layer.digest, is_lfs=True))
    if not files:
        what = f"only {unnamed[0]}" if unnamed else "nothing"
        raise NotFoundError(f"{name} at {site} is no model: it holds {what}, and no file with a path", source=site)
    return tuple(files), tuple(unnamed)


def _descriptor(value: object, site: str) -> Descriptor:
    found = shapes.mapping(value, site, "an entry of the manifest")
    what = "an entry of the manifest"
    named = shapes.text(found, "digest", site, what)
    algorithm, _, digits = named.partition(":")
    if algorithm != Algorithm.SHA256:
        raise shapes.odd(site, f"{named[:80]!r} is not a sha256 digest")
    return Descriptor(
        shapes.text(found, "mediaType", site, what),
        shapes.digest(Algorithm.SHA256, digits, site, named[:80]),
        shapes.size(found, "size", site, what),
        _annotations(found, site),
        _optional(found, "artifactType", site),
    )


def _annotations(found: Mapping[str, Any], site: str) -> dict[str, str]:
    value = found.get("annotations")
    if value is None:
        return {}
    known = shapes.mapping(value, site, "the annotations")
    if not all(isinstance(text, str) for text in known.values()):
        raise shapes.odd(site, "an annotation is not a text")
    return known


def _optional(found: dict[str, Any], key: str, site: str) -> str | None:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise shapes.odd(site, f"{key!r} is not a text")
    return value or None


def _bounded(found: Mapping[str, Any], key: str, site: str) -> Sequence[Any]:
    entries = shapes.sequence(found.get(key), site, f"{key!r} of the manifest")
    if len(entries) > MAX_FILES:
        raise shapes.odd(site, f"the manifest has {len(entries)} {key}; at most {MAX_FILES} are accepted")
    return entries


def _index(index: Index) -> dict[str, Any]:
    entries = [_rendered(entry) for entry in index.manifests]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}


def _manifest(manifest: Manifest) -> dict[str, Any]:
    parts: dict[str, Any] = {"schemaVersion": 2, "mediaType": manifest.media_type}
    if manifest.artifact_type is not None:
        parts["artifactType"] = manifest.artifact_type
    parts |= {"config": _rendered(manifest.config), "layers": [_rendered(layer) for layer in manifest.layers]}
    if manifest.subject is not None:
        parts["subject"] = _rendered(manifest.subject)
    return parts


def _rendered(entry: Descriptor) -> dict[str, Any]:
    parts: dict[str, Any] = {"mediaType": entry.media_type, "digest": str(entry.digest), "size": entry.size}
    if entry.artifact_type is not None:
        parts["artifactType"] = entry.artifact_type
    if entry.annotations:
        parts["annotations"] = dict(sorted(entry.annotations.items()))
    return parts
