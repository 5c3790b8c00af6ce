"""The address of a mirror as the user writes it."""

from __future__ import annotations

import pytest

from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.sources import parse_source
from orchestrator.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "url", "kind"),
    [
        ("https://hf-mirror.com", "hf-mirror.com", "https://hf-mirror.com", HUGGINGFACE),
        ("https://hf-mirror.com/", "hf-mirror.com", "https://hf-mirror.com", HUGGINGFACE),
        (
            "huggingface+http://127.0.0.1:8080/hf/",
            "127.0.0.1:8080",
            "http://127.0.0.1:8080/hf",
            HUGGINGFACE,
        ),
        ("modelscope+https://ModelScope.cn", "modelscope.cn", "https://ModelScope.cn", MODELSCOPE),
        ("https://mirror/a+b", "mirror", "https://mirror/a+b", HUGGINGFACE),
    ],
)
def test_a_source_is_read(text: str, name: str, url: str, kind: Dialect) -> None:
    made = parse_source(text)
    assert (made.name, made.url, made.kind, made.is_root) == (name, url, kind, False)


def test_name_root_and_host() -> None:
    made = parse_source("https://Hub.Corp:8443", name="ours", is_root=True)
    assert (made.name, made.is_root, made.host) == ("ours", True, "hub.corp")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf-mirror.com",
        "ftp://x",
        "file:///x",
        "https://",
        "oci+https://x",
        "https://x?token=1",
        "https://x#a",
        "https://user:secret@x",
        "https://secret@x",
    ],
)
def test_what_is_no_source_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert "secret" not in caught.value.message
