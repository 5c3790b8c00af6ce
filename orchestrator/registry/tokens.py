"""Tokens of a registry: which repositories and actions they open, and how they are signed.

The registry believes tokens with our certificate (the distribution project's token authentication, as docker-registry
2.8 has it): ES256, with the certificate beside each token as `x5c`. Of what was asked for, a token opens exactly what
the table of rights gives its owner. Nobody but the facade itself gets one to push to a model's repository.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.disk.access import refuse_strangers
from orchestrator.disk.atomic import write_file
from orchestrator.disk.locks import state_lock
from orchestrator.errors import ConfigError, UsageError
from orchestrator.registry.names import UPLOADS, model_named, upload_repository
from orchestrator.rights import Right, Subject
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import SETTINGS_BYTES, read_small

ISSUER = "glm-aria"
LIFE = 300
"""Seconds that a token is valid, and so that one of a revoked right still reads."""
_YEARS = 10
_EARLY = 60
"""Seconds that the clock of the registry may be behind ours."""
_MOST_SCOPES = 100


@dataclass(frozen=True, slots=True)
class Access:
    """Actions at a resource of a registry."""

    kind: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, scope: str) -> Access:
        """Read `repository:team/model:pull,push`. Raises ValueError."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if not kind or not name:
            raise ValueError(f"{scope!r} is no scope such as repository:team/model:pull")
        return cls(kind, name, tuple(dict.fromkeys(filter(None, actions.split(",")))))


def asked_for(scopes: Iterable[str]) -> tuple[Access, ...]:
    """The access that some `scope` parameters ask for, each with one or more scopes. Raises ValueError."""
    words = [word for text in scopes for word in text.split()]
    if len(words) > _MOST_SCOPES:
        raise ValueError(f"a token is for at most {_MOST_SCOPES} scopes")
    return tuple(map(Access.parse, words))


def granted(who: Subject, asked: Iterable[Access]) -> tuple[Access, ...]:
    """The part of what was asked for that the table of rights gives; what is not given at all is left out."""
    found = (Access(one.kind, one.name, tuple(a for a in one.actions if a in _actions(who, one))) for one in asked)
    return tuple(one for one in found if one.actions)


def _actions(who: Subject, asked: Access) -> frozenset[str]:
    if (asked.kind, asked.name) == ("registry", "catalog"):
        return frozenset({"*"} if who.is_admin else ())
    if asked.kind != "repository":
        return frozenset()
    is_upload = asked.name.startswith(f"{UPLOADS}/")
    try:
        model = model_named("/".join(asked.name.split("/")[2:]) if is_upload else asked.name)
    except UsageError:
        return frozenset()
    if not is_upload:
        return frozenset({"pull"} if who.may(Right.READ, model) else ())
    is_theirs = who.may(Right.PUBLISH, model) and asked.name == upload_repository(who.name, model)
    return frozenset({"pull", "push"} if is_theirs else ())


class Signer:
    """The key with which tokens are signed, and its certificate, which the registry has to know: both are made in
    `folder` where they are not there yet.

    Raises ConfigError for a key that others may read, or that cannot be read, and per `system.failures`.
    """

    def __init__(self, folder: Path, stage: Path) -> None:
        self._key_file, self.certificate = folder / "token-key.pem", folder / "token-certificate.pem"
        with on_disk("lock", folder), state_lock(folder / "token-key.lock", strict=True):
            if not self._key_file.exists() or not self.certificate.exists():
                self._make(stage)
        try:
            pem = read_small(self._key_file, SETTINGS_BYTES, judge=refuse_strangers)
            key = serialization.load_pem_private_key(pem, password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError("it is of another kind")
            made = x509.load_pem_x509_certificate(read_small(self.certificate, SETTINGS_BYTES))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the key of the registry's tokens cannot be used: {error}",
                hint=f"only you may read {self._key_file}; move it and its certificate away to make new ones",
            ) from error
        self._key = key
        self._chain = [base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()]

    def token(self, who: str, access: Iterable[Access], service: str) -> str:
        """A token for the registry that calls itself `service`."""
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "sub": who,
            "aud": service,
            "exp": now + timedelta(seconds=LIFE),
            "nbf": now - timedelta(seconds=_EARLY),
            "iat": now,
            "jti": secrets.token_urlsafe(16),
            "access": [{"type": one.kind, "name": one.name, "actions": list(one.actions)} for one in access],
        }
        return jwt.encode(claims, self._key, "ES256", {"x5c": self._chain})

    def _make(self, stage: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "glm-aria registry tokens")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365 * _YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_file(self._key_file, pem, stage, mode=0o600)
        write_file(self.certificate, certificate.public_bytes(serialization.Encoding.PEM), stage, mode=0o644)
