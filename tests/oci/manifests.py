"""Manifests as their makers write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.oci.manifest import EMPTY, FILEPATH, MODEL, MODEL_CONFIG, OCI_INDEX, OCI_MANIFEST, TITLE

WEIGHT = "application/vnd.cncf.model.weight.v1.raw"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def entry(content: bytes, media_type: str = "application/octet-stream", **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content), **more}


def layer(path: str, content: bytes, media_type: str = WEIGHT, *, name: str = FILEPATH) -> dict[str, Any]:
    return entry(content, media_type, annotations={name: path})


def model_pack(
    files: Mapping[str, bytes] | Sequence[tuple[str, bytes]], *, annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    """A ModelPack manifest of these files, with `{}` as its configuration."""
    pairs = files.items() if isinstance(files, Mapping) else files
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": MODEL,
        "config": entry(b"{}", MODEL_CONFIG),
        "layers": [layer(path, content) for path, content in pairs],
        **({"annotations": annotations} if annotations else {}),
    }


def cnai(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The same under the names that it had before."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.cnai.model.manifest.v1+json",
        "config": entry(b"{}", "application/vnd.cnai.model.config.v1+json"),
        "layers": [
            layer(path, content, "application/vnd.cnai.model.weight.v1.raw", name="org.cnai.model.filepath")
            for path, content in files.items()
        ],
    }


def artifact(files: Mapping[str, bytes], artifact_type: str = "application/vnd.acme.weights") -> dict[str, Any]:
    """What `oras push` makes of files."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": entry(b"{}", EMPTY),
        "layers": [
            layer(path, content, "application/vnd.oci.image.layer.v1.tar", name=TITLE)
            for path, content in files.items()
        ],
    }


def index(*manifests: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(manifests)}


def text(value: object) -> bytes:
    return json.dumps(value).encode()
