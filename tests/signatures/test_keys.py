"""What may be a key, and what the others are told."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from orchestrator.errors import ConfigError
from orchestrator.signatures import keys

KEY = ec.generate_private_key(ec.SECP384R1())
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def private(key: Private, protection: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())


def public(key: Private) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_halves_of_a_key_belong_together() -> None:
    mine = keys.private_key(private(KEY), "k")
    known = keys.public_key(public(KEY), "k.pub")
    assert mine.public.hint == known.hint
    assert known.verifies(mine.sign(b"message"), b"message")
    assert not known.verifies(mine.sign(b"message"), b"another")
    assert not known.verifies(b"", b"message")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_only_the_curves_of_the_format_are_keys(key: Private) -> None:
    with pytest.raises(ConfigError, match="P-256"):
        keys.private_key(private(key), "k")
    with pytest.raises(ConfigError, match="P-256"):
        keys.public_key(public(key), "k")


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"-----BEGIN EC KEY-----\nAAAA\n-----END EC KEY-----\n"])
def test_what_is_no_key_is_told(body: bytes) -> None:
    with pytest.raises(ConfigError, match="k holds no public key"):
        keys.public_key(body, "k")
    with pytest.raises(ConfigError, match="k holds no private key"):
        keys.private_key(body, "k")


def test_the_wrong_half_is_told() -> None:
    with pytest.raises(ConfigError, match="a private key"):
        keys.public_key(private(KEY), "k")
    with pytest.raises(ConfigError, match="a public key"):
        keys.private_key(public(KEY), "k")


def test_a_key_with_a_password_is_told() -> None:
    with pytest.raises(ConfigError, match="password") as told:
        keys.private_key(private(KEY, BestAvailableEncryption(b"canary")), "k")
    assert "openssl ec -in k" in (told.value.hint or "")
