"""Sessions of browsers: a cookie stands for a token, for a while."""

from __future__ import annotations

from orchestrator.serve.access.sessions import COOKIE, Sessions, set_cookie
from tests.plain import Clock


def nobody(token: str, address: str) -> None:
    """Know no token."""


def test_a_cookie_stands_for_its_token_until_it_is_old() -> None:
    clock = Clock()
    sessions = Sessions(nobody, clock)
    cookie = f"other=1; {COOKIE}={sessions.begin('secret')}"
    assert sessions.token_of(cookie) == "secret"
    assert sessions.token_of(f"{COOKIE}=wrong") is None
    assert sessions.token_of("") is None
    clock.now += 13 * 3600
    assert sessions.token_of(cookie) is None


def test_a_session_ends_when_it_is_told_to() -> None:
    sessions = Sessions(nobody)
    cookie = f"{COOKIE}={sessions.begin('secret')}"
    sessions.end(cookie)
    assert sessions.token_of(cookie) is None


def test_the_oldest_of_many_sessions_goes() -> None:
    sessions = Sessions(nobody)
    first = sessions.begin("secret")
    last = [sessions.begin("secret") for _ in range(256)][-1]
    assert sessions.token_of(f"{COOKIE}={first}") is None
    assert sessions.token_of(f"{COOKIE}={last}") == "secret"


def test_no_script_and_no_other_site_has_the_cookie() -> None:
    assert set_cookie("v", "", is_secure=False) == f"{COOKIE}=v; Path=/; HttpOnly; SameSite=Strict"
    assert set_cookie("v", "/hf", is_secure=True).endswith("Path=/hf; HttpOnly; SameSite=Strict; Secure")


def test_a_long_cookie_is_read_in_no_time() -> None:
    """http.cookies would take minutes for these, in which nobody else gets an answer."""
    sessions = Sessions(nobody)
    value = sessions.begin("secret")
    for _ in range(2000):
        assert sessions.token_of(f'{COOKIE}="' + "\\" * 30_000 + '"') is None
    for text in (f"{COOKIE}={value}", f"a=b;{COOKIE}={value};c=d", f'a="\\";  {COOKIE}={value}'):
        assert sessions.token_of(text) == "secret"
    for text in (f"x{COOKIE}={value}", f"{COOKIE}={value}x", f'{COOKIE}="{value}"', f"{COOKIE}={value[:-1]}"):
        assert sessions.token_of(text) is None
