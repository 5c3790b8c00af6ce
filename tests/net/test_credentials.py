"""The one decision about who gets the token."""

from __future__ import annotations

import pytest

from orchestrator.errors import ConfigError
from orchestrator.net.credentials import Credentials

HOLDER = Credentials("hf_secret", frozenset({"huggingface.co", "Hub.Corp:8443", "127.0.0.1:8080", "[::1]:8080"}))


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/api/models/a/b",
        "https://HuggingFace.co:443/x",
        "https://hub.corp:8443/x",
        "http://127.0.0.1:8080/x",
        "http://[::1]:8080/x",
    ],
)
def test_the_token_is_sent_to_its_hosts(url: str) -> None:
    assert HOLDER.headers_for(url) == {"Authorization": "Bearer hf_secret"}


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/x",  # in the clear
        "http://hub.corp:8443/x",
        "https://huggingface.co:8443/x",  # another server of that host
        "https://hub.corp/x",
        "http://127.0.0.1/x",
        "http://127.0.0.1:8081/x",
        "http://localhost:8080/x",
        "https://hf-mirror.com/x",
        "https://huggingface.co.evil.com/x",
        "https://evil.com/huggingface.co",
        "https://cdn.huggingface.co/x",
        "https://huggingface.co@evil.com/x",
        "https://evil.com\\@huggingface.co/x",
        "https://huggingface.co\\@evil.com/x",
        "https://user@huggingface.co/x",
        "ftp://huggingface.co/x",
        "https://huggingface.co./x",
        "huggingface.co",
        "",
    ],
)
def test_the_token_is_sent_to_nobody_else(url: str) -> None:
    assert HOLDER.headers_for(url) == {}


def test_nothing_without_a_token_or_a_host() -> None:
    assert not Credentials(None, frozenset({"huggingface.co"})).may_send("https://huggingface.co/x")
    assert not Credentials("hf_secret").may_send("https://huggingface.co/x")


def test_the_token_is_not_shown() -> None:
    assert "hf_secret" not in f"{HOLDER!r} {HOLDER}"


@pytest.mark.parametrize("token", ["hf_a\n", "hf a", "hf_ü", "\x00"])
def test_a_token_that_cannot_be_one_is_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Credentials(token)
    assert token not in str(caught.value)
