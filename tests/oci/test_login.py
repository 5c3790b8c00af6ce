"""Who may hear the password of a registry."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from orchestrator.errors import NotAllowedError, ProtocolError, TrustError
from orchestrator.oci.login import (
    Challenge,
    Login,
    choose,
    for_realm,
    for_registry,
    parse_challenges,
    token_url,
)

REGISTRY = "https://registry.example"
LOGIN = Login("ann", "canary")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://a/t",service="s",scope="x:y:z"', [Challenge("bearer", "https://a/t", "s")]),
        ("Bearer realm=https://a/t, service=s", [Challenge("bearer", "https://a/t", "s")]),
        ('bearer Realm = "https://a/t?x=1,2"', [Challenge("bearer", "https://a/t?x=1,2")]),
        ('Basic realm="a \\"b\\""', [Challenge("basic", 'a "b"')]),
        (
            'Basic realm="x", Bearer realm="https://a/t",service="s"',
            [Challenge("basic", "x"), Challenge("bearer", "https://a/t", "s")],
        ),
        ("Negotiate", []),
        ("", []),
        ("Bearer " + "x" * 9000, []),
    ],
)
def test_challenges_are_read(header: str, found: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == found


def test_a_token_is_preferred_and_something_must_be_known() -> None:
    bearer, basic = Challenge("bearer", "https://a/t"), Challenge("basic")
    assert choose((basic, bearer), REGISTRY) is bearer
    assert choose((Challenge("bearer"), basic), REGISTRY) is basic
    with pytest.raises(ProtocolError):
        choose((Challenge("digest", "x"),), REGISTRY)


def test_a_token_is_for_our_scopes_whatever_the_registry_says() -> None:
    url = token_url(Challenge("bearer", "https://auth.example/t?k=1", "s&x"), REGISTRY, ("repository:team/model:pull",))
    assert parse_qsl(urlsplit(url).query) == [("k", "1"), ("service", "s&x"), ("scope", "repository:team/model:pull")]


@pytest.mark.parametrize(
    ("realm", "error"),
    [
        ("http://registry.example/token", TrustError),
        ("https://127.0.0.1/token", ProtocolError),
        ("https://metadata.internal/token", ProtocolError),
        ("ftp://registry.example/token", ProtocolError),
        ("https://user:x@registry.example/token", ProtocolError),
        ("file:///etc/passwd", ProtocolError),
    ],
)
def test_a_realm_that_no_redirect_might_lead_to_is_refused(realm: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        token_url(Challenge("bearer", realm), REGISTRY, ())


def test_the_password_goes_to_the_registry_and_to_a_service_on_it() -> None:
    for url in (f"{REGISTRY}/token?service=s", "https://registry.example:443/x"):
        assert for_realm(LOGIN, REGISTRY, url).may_send(url)
    assert for_registry(LOGIN, REGISTRY).headers_for(f"{REGISTRY}/v2/") == {"Authorization": "Basic YW5uOmNhbmFyeQ=="}


@pytest.mark.parametrize("realm", ["https://evil.example/token", "https://registry.example:8443/token"])
def test_the_password_goes_nowhere_else_unless_the_user_named_it(realm: str) -> None:
    with pytest.raises(NotAllowedError, match="another server") as caught:
        for_realm(LOGIN, REGISTRY, realm)
    assert f"--realm {realm}" in str(caught.value.hint)
    named = Login("ann", "canary", realm)
    assert for_realm(named, REGISTRY, f"{realm}?service=s").may_send(realm)
    assert not for_realm(named, REGISTRY, realm).may_send("https://other.example/")


def test_without_a_login_a_service_elsewhere_is_asked_without_one() -> None:
    assert for_realm(None, REGISTRY, "https://auth.example/token").token is None


def test_the_password_goes_over_no_plain_http() -> None:
    with pytest.raises(NotAllowedError, match="plain http"):
        for_registry(LOGIN, "http://registry.example")
    with pytest.raises(NotAllowedError, match="plain http"):
        for_realm(LOGIN, "http://registry.example", "http://registry.example/token")
    assert for_registry(LOGIN, "http://127.0.0.1:5000").may_send("http://127.0.0.1:5000/v2/")


def test_no_login_is_shown() -> None:
    assert "canary" not in repr(LOGIN)
    assert "canary" not in repr(for_registry(LOGIN, REGISTRY))
    with pytest.raises(NotAllowedError):
        for_registry(None, REGISTRY)
