"""An OCI image layout: blobs by their digests, as image-spec has them. The same files make the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.imagelib.tree import Tree

_OF = "application/vnd.oci.image"
LAYER, CONFIG, MANIFEST, INDEX = (
    f"{_OF}.{kind}" for kind in ("layer.v1.tar+gzip", "config.v1+json", "manifest.v1+json", "index.v1+json")
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its bytes, and the digest of what they are packed of."""

    packed: bytes
    diff_id: str


def moment(epoch: int) -> str:
    """A time as documents have it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def layer_of(tree: Tree, epoch: int) -> Layer:
    """A layer of these files, none of which is newer or older than the moment given."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(tree):
            entry = tree[name]
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = entry.kind, entry.mode, epoch
            member.uid = member.gid = entry.owner
            member.linkname, member.size = entry.target, len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))
    plain = made.getvalue()
    return Layer(gzip.compress(plain, 9, mtime=0), _digest(plain))


class Layout:
    """A folder that becomes a layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def put(self, content: bytes, kind: str) -> Json:
        """Keep a blob; its descriptor."""
        digest = _digest(content)
        (self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def put_json(self, value: Json, kind: str) -> Json:
        """The same of a document."""
        return self.put(json.dumps(value, sort_keys=True).encode(), kind)

    def image(self, layers: list[Layer], config: Json, labels: dict[str, str]) -> Json:
        """Keep an image; its descriptor."""
        whole = {**config, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put_json(whole, CONFIG),
            "layers": [self.put(layer.packed, LAYER) for layer in layers],
            "annotations": labels,
        }
        platform = {"os": config["os"], "architecture": config["architecture"]}
        return {**self.put_json(manifest, MANIFEST), "platform": platform}

    def finish(self, images: list[Json], name: str, labels: dict[str, str]) -> str:
        """Name the images, of one architecture each, together; the digest of what the name means."""
        index: Json = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images, "annotations": labels}
        named = self.put_json(index, INDEX)
        told = {**named, "annotations": {"org.opencontainers.image.ref.name": name}}
        first = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [told]}
        (self.folder / "index.json").write_text(json.dumps(first, indent=1))
        return str(named["digest"])

    def blob(self, descriptor: Json) -> bytes:
        """The bytes of a descriptor."""
        digest = str(descriptor["digest"])
        return (self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    def images(self) -> list[Json]:
        """The manifests of all images."""
        (named,) = json.loads((self.folder / "index.json").read_text())["manifests"]
        return [json.loads(self.blob(one)) for one in json.loads(self.blob(named))["manifests"]]


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
