"""Which proxy is for whom, and how its address is read."""

from __future__ import annotations

import base64

import pytest

from orchestrator.core.network.proxies import Proxies, Proxy, Way, parse_proxy
from orchestrator.errors import ConfigError

SECRET = "p@s:s/w%ö"


@pytest.mark.parametrize(
    ("text", "host", "port", "user", "password"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, "", ""),
        ("http://Proxy.Example/", "proxy.example", 80, "", ""),
        ("proxy.example:8080", "proxy.example", 8080, "", ""),
        ("http://me:p%40s%3As%2Fw%25%C3%B6@proxy:1", "proxy", 1, "me", SECRET),
        ("http://me:a@b@proxy:1", "proxy", 1, "me", "a@b"),
        ("http://me@[::1]:1", "::1", 1, "me", ""),
    ],
)
def test_the_address_of_a_proxy_is_read(text: str, host: str, port: int, user: str, password: str) -> None:
    found = parse_proxy(text)
    assert found is not None
    assert (found.host, found.port, found.user, found.password) == (host, port, user, password)
    assert parse_proxy(found.url) == found, "the address that we make means the same"
    assert not user or user not in f"{found!r} {found.place}"
    if user:
        told = base64.b64decode((found.authorization or "").removeprefix("Basic ")).decode()
        assert told == f"{user}:{password}"
    else:
        assert found.authorization is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("socks5://me:canary@proxy:1", "SOCKS is not supported"),
        ("socks5h://proxy:1", "SOCKS is not supported"),
        ("https://me:canary@proxy:1", "plain http"),
        ("ftp://proxy:1", "http://proxy.example:3128"),
        ("http://", "http://proxy.example:3128"),
        ("http://proxy:0", "http://proxy.example:3128"),
        ("http://proxy:99999", "http://proxy.example:3128"),
        ("http://me:can/ary@proxy:1", "http://proxy.example:3128"),
        ("http://me:can?ary@proxy:1", "%3F"),
        ("http://me:canary@proxy:1/path", "http://proxy.example:3128"),
        ("http://me:canary%0d%0aX@proxy:1", "character"),
        ("http://m%3Ae:canary@proxy:1", "character"),
        ("http://me:%ff@proxy:1", "http://proxy.example:3128"),
    ],
)
def test_addresses_that_are_refused_and_not_quoted(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"must|plain|character") as caught:
        parse_proxy(text)
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)


A, B, ALL = (Proxy(name, 1) for name in ("a", "b", "all"))
SITES = Proxies({"http://m/x": A, "http://m/y": B, "http://direct": None, "": ALL}, {"http": "http://env:1"})


@pytest.mark.parametrize(
    ("url", "home", "proxy"),
    [
        ("http://m/x/api", None, A),
        ("http://m/xyz", None, ALL),
        ("http://cdn/f", "http://m/y", B),
        ("http://cdn/f", "http://m/y/org/m", B),
        ("http://cdn/f", "http://direct", None),
        ("http://cdn/f", None, ALL),
        ("http://127.0.0.1:1/f", "http://m/x", None),
        ("http://[::1]:1/f", None, None),
        ("http://localhost/f", None, None),
    ],
)
def test_the_proxy_is_that_of_the_site_that_led_there(url: str, home: str | None, proxy: Proxy | None) -> None:
    assert SITES.route(url, home) == proxy


@pytest.mark.parametrize(
    ("entry", "url", "is_exempt"),
    [
        ("example.com", "http://example.com/", True),
        ("example.com", "http://a.Example.com/", True),
        (".example.com", "http://a.example.com/", True),
        ("*.example.com", "http://a.example.com/", True),
        ("example.com", "http://notexample.com/", False),
        ("example.com:8080", "http://example.com:8080/", True),
        ("example.com:8080", "http://example.com/", False),
        ("10.0.0.0/8", "http://10.1.2.3:99/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.1.2.3", "http://10.1.2.3/", True),
        ("10.1.2.3:99", "http://10.1.2.3:99/", True),
        ("10.1.2.3:99", "http://10.1.2.3:98/", False),
        ("fd00::/8", "http://[fd00::1]/", True),
        ("*", "http://anything/", True),
        ("", "http://anything/", False),
    ],
)
def test_no_proxy_exempts_hosts(entry: str, url: str, is_exempt: bool) -> None:
    assert (Proxies({"": ALL}, no_proxy=(entry,)).route(url) is None) is is_exempt


def test_the_environment_is_by_scheme() -> None:
    proxies = Proxies({}, {"http": "h:1", "all": "http://other:2"})
    assert proxies.route("http://x/") == Proxy("h", 1)
    assert proxies.route("https://x/") == Proxy("other", 2)
    assert Proxies({}, {}).route("http://x/") is None


def test_a_proxy_of_the_environment_that_cannot_be_used_is_an_error_only_where_it_would_be() -> None:
    proxies = Proxies({"http://m": A}, {"http": "http://h:1", "all": "socks5://me:canary@s:1"})
    assert proxies.route("http://x/") == Proxy("h", 1)
    assert proxies.route("https://x/", "http://m") == A
    with pytest.raises(ConfigError, match="environment ALL_PROXY: SOCKS") as caught:
        proxies.route("https://x/")
    assert "canary" not in str(caught.value)
    assert "--proxy" in str(caught.value.hint)
    assert proxies.way("http://x") == Way(Proxy("h", 1), Proxy("h", 1), ("localhost", "127.0.0.0/8", "::1"))


def test_the_way_of_a_program_that_follows_redirects_by_itself() -> None:
    proxies = Proxies({"http://m": A}, {"http": "h:1"}, (".lan", "host:1", "10.0.0.0/8", "x.org"))
    way = proxies.way("http://m")
    assert way is not None
    assert (way.http, way.https) == (A, A)
    assert way.exempt == ("localhost", "127.0.0.0/8", "::1", "lan", ".lan", "10.0.0.0/8", "x.org", ".x.org")
    other = proxies.way("http://else")
    assert other is not None
    assert (other.http, other.https) == (Proxy("h", 1), None)
    assert Proxies({"": ALL}, no_proxy=("*",)).way("http://m") == Way()
    assert Proxies({"http://m": A}).way("http://else") is None, "nothing is known: it decides by itself"


def test_a_proxy_that_cannot_be_used_is_no_error_for_what_goes_past_it() -> None:
    proxies = Proxies(environment={"all": "socks5://proxy:1080"}, no_proxy=("hub.example",))
    assert proxies.route("https://hub.example/x") is None
    assert proxies.route("https://sub.hub.example/x") is None
    way = proxies.way("https://hub.example")
    assert way is not None
    assert "hub.example" in way.exempt
    assert (way.https, way.http) == (Proxy("127.0.0.1", 1), Proxy("127.0.0.1", 1)), "nothing goes around it unseen"
    for ask in (proxies.route, proxies.way):
        with pytest.raises(ConfigError, match="SOCKS"):
            ask("https://elsewhere.example/x")
    assert Proxies(environment={"all": "socks5://proxy:1080"}).way("http://127.0.0.1:1") is not None
