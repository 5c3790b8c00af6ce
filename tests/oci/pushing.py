"""Pushing with our own client, as simply as it can be done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.oci.client import Client
from tests.oci.manifests import sha256


def push_blob(client: Client, content: bytes) -> Digest:
    digest = Digest.parse(sha256(content))
    upload = client.begin()
    client.finish(client.send(upload, content) if content else upload, digest)
    return digest


def push(client: Client, tag: str, manifest: dict[str, Any], *contents: bytes) -> Digest:
    """Push contents, and a manifest of them at a tag."""
    for content in (b"{}", *contents):
        push_blob(client, content)
    return client.put(tag, json.dumps(manifest).encode(), manifest["mediaType"])


def push_files(client: Client, tag: str, manifest: dict[str, Any], files: Mapping[str, bytes]) -> Digest:
    return push(client, tag, manifest, *files.values())
