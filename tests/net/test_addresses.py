"""What may be shown of an address, what is internal, and where a redirect may lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import ProtocolError, TrustError
from orchestrator.net.addresses import is_internal, is_loopback, next_hop, place, redact, split


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://cdn.example/a/b?X-Amz-Signature=SECRET&x=1", "https://cdn.example/a/b?…"),
        ("https://user:SECRET@host/a", "https://host/a"),
        ("https://host/a#SECRET", "https://host/a"),
        ("https://host:8443/a", "https://host:8443/a"),
        ("https://[half", "(an address that cannot be read)"),
    ],
)
def test_redact_leaves_out_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(st.text(alphabet="abc/%:@?#&=[]. ", max_size=40))
def test_redact_never_shows_a_query_or_password(middle: str) -> None:
    assert "SECRET" not in redact(f"https://u:SECRET@host/{middle.replace('/', '')}?{middle}sig=SECRET")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/a",
        "file:///etc/passwd",
        "//host/a",
        "https:///a",
        "https://u:p@host/a",
        "https://host\\@other/a",
        "https://host/a b",
        "https://host/\n",
        "https://hóst/",
        "https://host:99999/",
        "https://host:0/",
    ],
)
def test_what_is_no_address_cannot_be_split(url: str) -> None:
    with pytest.raises(ProtocolError):
        split(url)


def test_place_names_the_port() -> None:
    assert place("https://Host/a") == place("https://host:443/b") == "host:443"
    assert place("http://host/a") == "host:80"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1"),
        *("127.1", "0x7f000001", "2130706433"),
        *("localhost", "LOCALHOST.", "x.localhost", "nas.local", "intranet", "metadata.google.internal"),
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "localhost.localdomain",
    ],
)
def test_an_internal_host_is_known(host: str) -> None:
    assert is_internal(host)


@pytest.mark.parametrize(
    "host",
    [
        "huggingface.co",
        "8.8.8.8",
        "2606:4700::1111",
        "64:ff9b::8.8.8.8",
        "2002:808:808::",
        "localhost.example.com",
        "10.example.com",
    ],
)
def test_a_public_host_is_not_internal(host: str) -> None:
    assert not is_internal(host)


def test_loopback_is_known_by_all_its_names() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"))
    assert not any(
        is_loopback(host) for host in ("64:ff9b::7f00:1", "10.0.0.1", "localhost.evil.com", "huggingface.co", "0.0.0.0")
    )


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a.example/x/y", "/z?q=1", "https://a.example/z?q=1"),
        ("https://a.example/x/y", "z", "https://a.example/x/z"),
        ("https://a.example/x", "//b.example/y", "https://b.example/y"),
        ("https://a.example/x", "https://b.example/y#part", "https://b.example/y"),
        ("http://a.example/x", "https://b.example/y", "https://b.example/y"),
        ("http://127.0.0.1:1/x", "http://localhost:2/y", "http://localhost:2/y"),
        ("https://a.example/x", "https://b.example/a/../b;c?", "https://b.example/a/../b;c?"),  # may be signed
        ("https://a.example/x", "https://b.example/a b?n=\xc3\xbc", "https://b.example/a%20b?n=%C3%BC"),
        ("https://hub.lan/x", "https://10.0.0.7/y", "https://10.0.0.7/y"),
    ],
)
def test_a_redirect_leads_to_the_next_hop(url: str, location: str, target: str) -> None:
    assert next_hop(url, location) == target


def test_https_is_never_left() -> None:
    with pytest.raises(TrustError) as caught:
        next_hop("https://a.example/x", "http://a.example/x?sig=SECRET")
    assert "SECRET" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "location",
    [
        "ftp://b.example/y",
        "file:///etc/passwd",
        "https://u:p@b.example/",
        "http://169.254.169.254/latest",
        "http://[::1]/",
    ],
)
def test_redirects_that_are_refused(location: str) -> None:
    with pytest.raises(ProtocolError):
        next_hop("http://a.example/x", location)
