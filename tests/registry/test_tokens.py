"""Tokens of the registry: their key, their claims, and the access that they open."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from cryptography import x509

from orchestrator.errors import ConfigError
from orchestrator.registry.names import upload_repository
from orchestrator.registry.tokens import ISSUER, LIFE, Access, Signer, asked_for, granted
from orchestrator.rights import Role, Subject
from tests.registry.shop import MODEL, somebody


def test_a_token_has_the_access_and_names_its_certificate(tmp_path: Path) -> None:
    signer = Signer(tmp_path, tmp_path)
    token = signer.token("ann", (Access("repository", "team/model", ("pull",)),), "registry.lab")
    key = x509.load_pem_x509_certificate(signer.certificate.read_bytes()).public_key()
    claims = jwt.decode(token, key, ["ES256"], audience="registry.lab", issuer=ISSUER)  # type: ignore[arg-type]
    assert claims["access"] == [{"type": "repository", "name": "team/model", "actions": ["pull"]}]
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("ann", LIFE)
    assert len(jwt.get_unverified_header(token)["x5c"]) == 1


def test_the_key_stays_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    first = Signer(tmp_path, tmp_path).certificate.read_bytes()
    assert Signer(tmp_path, tmp_path).certificate.read_bytes() == first
    assert (tmp_path / "token-key.pem").stat().st_mode & 0o777 == 0o600
    (tmp_path / "token-key.pem").chmod(0o644)
    with pytest.raises(ConfigError):
        Signer(tmp_path, tmp_path)
    (tmp_path / "token-key.pem").chmod(0o600)
    (tmp_path / "token-key.pem").write_text("nonsense")
    with pytest.raises(ConfigError):
        Signer(tmp_path, tmp_path)


@pytest.mark.parametrize("scope", ["", "nonsense", "repository:", ":x:pull"])
def test_a_scope_that_cannot_be_read_is_refused(scope: str) -> None:
    with pytest.raises(ValueError, match="no scope"):
        Access.parse(scope)


def test_scopes_come_in_one_parameter_or_in_several() -> None:
    two = (Access("repository", "a/b", ("pull",)), Access("repository", "c/d", ("pull", "push")))
    assert asked_for(["repository:a/b:pull repository:c/d:pull,push"]) == two
    assert asked_for(["repository:a/b:pull", "repository:c/d:pull,push"]) == two
    with pytest.raises(ValueError, match="at most"):
        asked_for(["repository:a/b:pull"] * 101)


@pytest.mark.parametrize(
    "name",
    ["uploads/x", "uploads", "a", "a/b/c", "uploads/0123456789abcdef/team/model", "TEAM/model", "../team/model", ""],
)
def test_nothing_is_granted_but_models_and_ones_own_uploads(name: str) -> None:
    every = (Access("repository", name, ("pull", "push", "delete", "*")), Access("other", "catalog", ("*",)))
    assert granted(somebody(Role.ADMIN), every) == ()


def test_who_has_no_name_has_no_uploads_of_others() -> None:
    publisher = somebody(Role.PUBLISHER, "ci")
    asked = (Access("repository", upload_repository("ci", MODEL), ("pull", "push")),)
    assert granted(publisher, asked) == asked
    assert granted(Subject("", publisher.grants), asked) == ()
    assert granted(somebody(Role.PUBLISHER, "ci", "other"), asked) == ()
