"""A sigstore bundle (version 0.3) of a statement that a key signed: a DSSE envelope, to bytes and back. No I/O."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from orchestrator.net import shapes
from orchestrator.signatures.statement import PAYLOAD, loaded

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MOST_BYTES = 4 << 20
"""As many as a registry has to take of a manifest; a bundle is shorter than the manifest of its files."""


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement and its signature. `hint` is the name of the key (`keys.PublicKey.hint`), where it is told."""

    payload: bytes
    signature: bytes
    hint: str | None = None

    @property
    def message(self) -> bytes:
        """The bytes that the signature is of: DSSE's pre-authentication encoding of the statement."""
        return message(self.payload)


def message(payload: bytes) -> bytes:
    """The bytes to sign for a statement (DSSE, version 1)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def render(bundle: SignedStatement) -> bytes:
    """The bytes of a bundle."""
    return json.dumps(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": bundle.hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(bundle.payload).decode(),
                "payloadType": PAYLOAD,
                "signatures": [{"sig": base64.b64encode(bundle.signature).decode(), "keyid": ""}],
            },
        },
        separators=(",", ":"),
    ).encode()


def parse(body: bytes, site: str) -> SignedStatement:
    """Read a bundle that `site` sent. Nothing in it is proven. Raises ProtocolError."""
    if len(body) > MOST_BYTES:
        raise shapes.odd(site, f"a signature of {len(body)} bytes; at most {MOST_BYTES} are read")
    found = shapes.mapping(loaded(body, site, "the signature"), site, "the signature")
    envelope = shapes.mapping(found.get("dsseEnvelope"), site, "the envelope of the signature")
    if (found.get("mediaType"), envelope.get("payloadType")) != (MEDIA_TYPE, PAYLOAD):
        raise shapes.odd(site, "the signature is not a sigstore bundle 0.3 of an in-toto statement")
    signatures = shapes.sequence(envelope.get("signatures"), site, "the list of signatures")
    first = shapes.mapping(signatures[0] if signatures else None, site, "the first signature")
    material = shapes.mapping(found.get("verificationMaterial"), site, "the material of the signature")
    key = material.get("publicKey")
    hint = key.get("hint") if isinstance(key, dict) else None
    return SignedStatement(
        _bytes(envelope, "payload", site), _bytes(first, "sig", site), hint if isinstance(hint, str) and hint else None
    )


def _bytes(entry: dict[str, Any], key: str, site: str) -> bytes:
    try:
        return base64.b64decode(shapes.text(entry, key, site, "the signature"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise shapes.odd(site, f"{key!r} of the signature is not base64") from error
