"""The frame of the server's pages."""

from __future__ import annotations

import re

import pytest

from orchestrator.serve.pages.layout import PageLayout


@pytest.mark.parametrize("prefix", ["", "/hf"])
def test_behind_a_proxy_all_addresses_are_below_its_path(prefix: str) -> None:
    layout = PageLayout(prefix, has_registry=True)
    for text in (layout.form("en", "registry"), layout.draw("dashboard.html", "en", "server", address="http://x")):
        found = re.findall(r'(?:href|src|action|data-events)="([^"#?]*)', text.decode())
        assert len(found) > 4
        assert all(address.startswith(f"{prefix}/") for address in found if address)


def test_a_server_without_a_registry_leads_to_none() -> None:
    assert b"registry" not in PageLayout().form("en")
    assert b'aria-current="page"' in PageLayout(has_registry=True).form("zh")


def test_another_language_keeps_what_an_address_asks_for() -> None:
    layout = PageLayout()
    text = layout.draw("login.html", "en", "server", {"q": 'a"<&b', "lang": "en"}, is_wrong=True)
    assert b'href="?q=a%22%3C%26b&amp;lang=zh"' in text
