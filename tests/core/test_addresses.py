"""The grammar of addresses: what other programs would take for more than an address is refused, wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.addresses import parse_address, parse_place
from orchestrator.core.network.proxies import parse_proxy
from orchestrator.core.network.resolvers import parse_server
from orchestrator.core.sources import parse_source
from orchestrator.errors import UsageError

# What a shell, git, nginx, systemd or aria2's input file take for more than a letter of an address.
ODD = list("\n\r\t \x00\x1b\x7f\x85\u2028\u00a0\"'`$;{}\\|<>^&()*,")
READERS: list[tuple[str, Callable[[str], object]]] = [
    ("https://host{}", parse_source),
    ("https://ho{}st", parse_source),
    ("https://host/p{}ath", parse_source),
    ("https://host{}:80", parse_source),
    ("modelscope+https://host/{}x", parse_source),
    ("http://127.0.0.1:6800/json{}rpc", parse_address),
    ("http://pro{}xy:3128", parse_proxy),
    ("pro{}xy:3128", parse_proxy),
    ("http://me:canary@pro{}xy:3128", parse_proxy),
    ("ho{}st:53", parse_place),
    ("1.1.{}1.1", parse_server),
    ("[::1{}]:53", parse_server),
    ("fe80::1%{}eth0", parse_server),
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("form", "read"), READERS, ids=[form for form, _ in READERS])
def test_a_character_that_no_address_holds_is_refused_everywhere(
    form: str, read: Callable[[str], object], odd: str
) -> None:
    with pytest.raises((UsageError, ValueError)) as caught:
        read(form.format(odd))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://host:0",
        "https://host:65536",
        "https://host:",
        "https://host:8x",
        "https://host:٣",
        "https://host:1:2",
        "https://[::1",
        "https://::1]",
        "https://[::1]80",
        "https://[fe80::1%25eth0]",
        "https://[127.0.0.1]",
        "https://[host]",
        "https://-oProxyCommand=x",
        "https://-host",
        "https://a..b",
        "https://.host",
        f"https://{'a' * 64}.example",
        f"https://{'a.' * 127}example",
        "https://host/%0Ax",
        "https://host/%7f",
        "https://host/%zz",
        "https://faß.example",
        "https://user:canary@host",
        "https://host?token=canary",
        "https://host#x",
        f"https://host/{'a' * 3000}",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "url", "host"),
    [
        ("HTTPS://Host.Example:8443/a/", "https://Host.Example:8443/a", "host.example"),
        ("https://[2001:DB8::1]:80", "https://[2001:db8::1]:80", "2001:db8::1"),
        ("https://bücher.example", "https://xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("https://模型.example/x", "https://xn--xgs754b.example/x", "xn--xgs754b.example"),
        ("http://hub_mirror:8000", "http://hub_mirror:8000", "hub_mirror"),
        ("https://host/hf%20x/~me", "https://host/hf%20x/~me", "host"),
    ],
)
def test_an_address_is_read_and_read_back(text: str, url: str, host: str) -> None:
    made = parse_source(text)
    assert (made.url, made.host) == (url, host)
    assert parse_source(made.url) == made, "what is made of an address means the same"


_PIECES = st.sampled_from(
    ["http", "https", "://", "@", "[", "]", ":", "::1", "/", "80", "host", ".", "%", "?", "#", *ODD]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join), st.lists(_PIECES).map(lambda p: "https://" + "".join(p))))
def test_what_is_taken_is_one_harmless_word(text: str) -> None:
    try:
        made = parse_source(text)
    except UsageError:
        return
    assert re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._~@:+!=%/-]*)?", made.url)
    assert made.host
    assert parse_source(made.url).url == made.url


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)))
def test_a_place_or_a_value_error(text: str) -> None:
    for read in (parse_place, parse_proxy, parse_server, parse_address):
        try:
            made = read(text)
        except ValueError:
            continue
        assert str(getattr(made, "host", "")).isprintable()


def test_a_login_may_hold_what_an_address_must_not() -> None:
    found = parse_proxy("http://me:p$a;s's@proxy:3128")
    assert found is not None
    assert (found.password, found.url) == ("p$a;s's", "http://me:p%24a%3Bs%27s@proxy:3128")
