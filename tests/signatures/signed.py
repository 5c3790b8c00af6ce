"""The model that OpenSSF's library signed for the tests, and what a test says of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest
from orchestrator.signatures import keys

MADE = Path(__file__).parent / "made_by_model_signing"
"""What the library 1.1.1 made: `model_signing sign key` of `CONTENTS`, with the keys that lie beside the signatures."""
CONTENTS = {
    ".gitattributes": b"*.bin filter=lfs\n",
    ".github/w.yml": b"x\n",
    "config.json": b"{}\n",
    "naïve.txt": "ü".encode(),
    "sub-a.txt": b"a",
    "sub/model.safetensors": b"weights",
}


def digest(content: bytes) -> Digest:
    return Digest(Algorithm.SHA256, hashlib.sha256(content).hexdigest())


FILES = {path: digest(content) for path, content in CONTENTS.items()}


def made(name: str) -> bytes:
    return (MADE / name).read_bytes()


def public(curve: str = "p256") -> keys.PublicKey:
    return keys.public_key(made(f"{curve}.pub"), f"{curve}.pub")


def new_key() -> keys.PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return keys.PrivateKey(ec.generate_private_key(ec.SECP256R1()), "new.key")
