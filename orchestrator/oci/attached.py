"""Artifacts that are attached to a manifest in a registry, such as signatures: they name it as their subject.

Registries of the specification 1.1 list them themselves. For any other one the client that attaches keeps the list, as
a tag that is named after the digest of the subject.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from orchestrator.core.files import Digest
from orchestrator.errors import NotFoundError, ProtocolError, TrustError
from orchestrator.oci.client import Client, referrers_tag
from orchestrator.oci.manifest import EMPTY, OCI_INDEX, Descriptor, Index, Manifest, digest_of, parse, render

_MOST = 64
"""So many artifacts of a kind are looked at."""


def attach(client: Client, subject: Descriptor, content: bytes, kind: str) -> Digest:
    """Attach content to a manifest that the repository has; the digest of the artifact. Raises what `Client` does."""
    layer, config = Descriptor(kind, digest_of(content), len(content)), Descriptor(EMPTY, digest_of(b"{}"), 2)
    for blob, body in ((layer, content), (config, b"{}")):
        if client.blob_size(blob.digest) is None:
            client.finish(client.send(client.begin(), body), blob.digest)
    artifact = Manifest(config, (layer,), artifact_type=kind, subject=subject)
    body = render(artifact)
    digest = digest_of(body)
    client.put(str(digest), body, artifact.media_type)
    listed = client.referrers(subject.digest).manifests
    if all(entry.digest != digest for entry in listed):
        added = Descriptor(artifact.media_type, digest, len(body), artifact_type=kind)
        client.put(referrers_tag(subject.digest), render(Index((*listed, added))), OCI_INDEX)
    return digest


def attached(client: Client, subject: Digest, kind: str) -> Iterator[bytes]:
    """Contents of a kind that are attached to a manifest; what cannot be read is left out.

    Raises what `Client` does when the registry cannot be asked, or does not let the caller read.
    """
    entries = [entry for entry in client.referrers(subject).manifests if entry.artifact_type == kind]
    for entry in entries[:_MOST]:
        with suppress(NotFoundError, ProtocolError, TrustError):
            fetched = client.manifest(str(entry.digest))
            found = parse(fetched.body, fetched.media_type, client.repository.place)
            # The list is anybody's word; the artifact itself says what it is about.
            if isinstance(found, Manifest) and found.subject and found.subject.digest == subject:
                for layer in found.layers:
                    if layer.media_type == kind:
                        yield client.blob(layer.digest)
