"""ModelPack (the CNCF's model-spec, version 1): the manifest and the config of a model of files. No I/O.

Each file is a raw layer of its own, which can be fetched and proven alone. Nothing in a manifest
changes with time: the same files under the same name are the same digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.oci.manifest import (
    FILEPATH,
    MODEL,
    MODEL_CONFIG,
    REVISION,
    SOURCE,
    TITLE,
    Descriptor,
    Manifest,
    digest_of,
)
from orchestrator.publishing.folder import HubOrigin

VERSION = "org.opencontainers.image.version"
LICENSES = "org.opencontainers.image.licenses"
HUB_DIGEST = "glm-aria.hub.digest"
"""The annotation of a layer with the digest that the Hub lists for the file."""

_LAYER = "application/vnd.cncf.model.{}.v1.raw"
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("doc", ("readme*", "license*", "licence*", "notice*", "*.md", "*.pdf", "*.png", "*.jpg", "*.jpeg", "*.svg")),
    (
        "weight",
        ("*.safetensors", "*.gguf", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack",
         "*.npz", "*.tflite", "*.engine"),
    ),
    ("code", ("*.py", "*.sh", "*.ipynb", "*.cpp", "*.cu", "*.js")),
    ("dataset", ("*.parquet", "*.arrow", "*.jsonl", "*.csv")),
    ("weight.config", ("*",)),
)  # fmt: skip
"""What a file is, by its name in lower case: the first row that matches."""
_PRECISION = {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of the model with its sha256, and the digest that the Hub lists for it if it is of a snapshot."""

    path: str
    size: int
    digest: Digest
    hub_digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a model beside its files. `config` is its `config.json`, as far as it has one."""

    name: str
    version: str
    origin: HubOrigin | None = None
    license: str | None = None
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """A manifest, and the content of its config blob."""

    manifest: Manifest
    config: bytes


def pack(files: Iterable[ModelFile], facts: ModelFacts) -> Pack:
    """The manifest of these files."""
    known = sorted(files, key=lambda file: file.path)
    config = json.dumps(_config(known, facts), ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    annotations = {TITLE: facts.name, VERSION: facts.version}
    if facts.license:
        annotations[LICENSES] = facts.license
    if facts.origin:
        annotations |= {SOURCE: _page(facts.origin), REVISION: facts.origin.commit}
    manifest = Manifest(
        Descriptor(MODEL_CONFIG, digest_of(config), len(config)),
        tuple(_layer(file) for file in known),
        annotations,
        MODEL,
    )
    return Pack(manifest, config)


def media_type_of(path: str) -> str:
    """The type of the layer of a file."""
    name = path.rpartition("/")[2].lower()
    kind = next(kind for kind, globs in _KINDS if any(fnmatchcase(name, glob) for glob in globs))
    return _LAYER.format(kind)


def _layer(file: ModelFile) -> Descriptor:
    found = Descriptor(media_type_of(file.path), file.digest, file.size, {FILEPATH: file.path})
    if file.hub_digest and file.hub_digest != file.digest:
        return replace(found, annotations={**found.annotations, HUB_DIGEST: str(file.hub_digest)})
    return found


def _config(files: Iterable[ModelFile], facts: ModelFacts) -> dict[str, Any]:
    listed = facts.config or {}
    descriptor: dict[str, Any] = {"name": facts.name, "version": facts.version}
    if facts.license:
        descriptor["licenses"] = [facts.license]
    if facts.origin:
        descriptor |= {"sourceURL": _page(facts.origin), "revision": facts.origin.commit}
    config: dict[str, Any] = {}
    kind = listed.get("model_type")
    if isinstance(kind, str):
        descriptor["family"] = kind
    precision = _PRECISION.get(str(listed.get("torch_dtype") or listed.get("dtype")))
    if precision:
        config["precision"] = precision
    weights = {file.path.rpartition(".")[2] for file in files if media_type_of(file.path) == _LAYER.format("weight")}
    if len(weights) == 1:
        config["format"] = weights.pop()
    layers = [str(file.digest) for file in files]
    return {"descriptor": descriptor, "config": config, "modelfs": {"type": "layers", "diffIds": layers}}


def _page(origin: HubOrigin) -> str:
    return f"https://huggingface.co/{origin.repo.url_path}"
