"""Keys that sign: elliptic curves, in PEM. All of the library `cryptography` that signatures need."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from orchestrator.errors import ConfigError

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""The curves that sigstore's specification of bundles has, each with the hash that goes with it."""
_MAKE = "a new one: openssl ecparam -name prime256v1 -genkey -noout -out new.key"
_PUBLIC = "openssl ec -in model.key -pubout -out model.pub"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Implements `core.trust.Signatory`. `name` is what the user calls it."""

    key: ec.EllipticCurvePublicKey
    name: str

    @property
    def hint(self) -> str:
        """The name of the key in bundles."""
        return hashlib.sha256(self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """See `Signatory.verifies`."""
        try:
            self.key.verify(signature, message, ec.ECDSA(_HASHES[self.key.curve.name]))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs. `name` is what the user calls it."""

    key: ec.EllipticCurvePrivateKey
    name: str

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.key.public_key(), self.name)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message: the same each time, where the library can make it so (RFC 6979)."""
        by = _HASHES[self.key.curve.name]
        try:
            return self.key.sign(message, ec.ECDSA(by, deterministic_signing=True))
        except UnsupportedAlgorithm:
            return self.key.sign(message, ec.ECDSA(by))


def public_key(body: bytes, name: str) -> PublicKey:
    """Read a public key. Raises ConfigError."""
    try:
        found = load_pem_public_key(body)
    except (ValueError, UnsupportedAlgorithm) as error:
        private = b"PRIVATE KEY" in body
        what = "a private key, and signatures are verified with the public one" if private else "no public key in PEM"
        raise ConfigError(f"{name} holds {what}", hint=_PUBLIC) from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.curve.name not in _HASHES:
        raise _other_kind(name)
    return PublicKey(found, name)


def private_key(body: bytes, name: str) -> PrivateKey:
    """Read a private key that has no password. Raises ConfigError."""
    try:
        found = load_pem_private_key(body, None)
    except TypeError as error:
        raise ConfigError(
            f"the key in {name} has a password, which is not asked for",
            hint=f"hand it over decrypted, without a file: --sign <(openssl ec -in {name})",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"PUBLIC KEY" in body:
            raise ConfigError(f"{name} holds a public key, which verifies", hint="sign with the private one") from error
        raise ConfigError(f"{name} holds no private key in PEM", hint=_MAKE) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or found.curve.name not in _HASHES:
        raise _other_kind(name)
    return PrivateKey(found, name)


def _other_kind(name: str) -> ConfigError:
    return ConfigError(f"the key in {name} is not of the curve P-256, P-384 or P-521", hint=_MAKE)
