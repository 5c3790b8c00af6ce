"""The dashboard in a real Chromium: what it loads, shows and escapes, in each language and size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.shaping import Shape
from tests.serve.conftest import Users
from tests.serve.pages.browser import Page, browser
from tests.serve.servers import Server, ended

BIG = "big.safetensors"
MARKUP = "<img src=x onerror=document.title=1>.json"
FILES: dict[str, Any] = {BIG: generate(16 << 20, 7), MARKUP: b"{}"}
SCRIPT = "<script>document.title=1</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def shown(page: Page, server: Server) -> Page:
    """The dashboard of a new server."""
    page.call("Page.navigate", url="about:blank")
    page.requests.clear()
    page.problems.clear()
    page.resize(1280, 900)
    page.prefer("light")
    look(page, server)
    return page


def look(page: Page, server: Server, query: str = "") -> None:
    page.open(f"{server.url}/{query}")
    page.wait("document.getElementById('state').className === 'live'")


def test_a_newcomer_finds_the_line_to_copy_and_nothing_comes_from_elsewhere(shown: Page, server: Server) -> None:
    assert shown.texts("#start code") == [f"export HF_ENDPOINT={server.url}\nhf download org/name"]
    assert shown.texts(".listing") == []
    wanted = ["/", "/-/dashboard.css", "/-/dashboard.js", "/-/dashboard.svg", "/-/events"]
    assert set(shown.requests) <= {server.url + path for path in wanted}
    assert shown.problems == []


def test_a_file_shows_where_it_comes_from_and_who_waits(
    shown: Page, server: Server, users: Users, hub: LoopbackHub
) -> None:
    user = users(server)
    hub.faces["cdn"].shape = Shape(total_rate=2e6)
    running = user.start("curl", "-sSf", "-o", "got", f"{server.url}/org/m/resolve/main/{BIG}")
    shown.wait("document.querySelector('#transfers progress')?.value > 0")
    shown.wait("document.querySelector('#sources td:nth-child(2)')?.innerText.endsWith('B/s')")
    assert shown.texts("#transfers td:first-child") == [f"org/m/{BIG}"]
    assert shown.texts("#transfers td:last-child") == ["1"]
    assert shown.texts("#start") == []
    hub.faces["cdn"].shape = Shape()
    assert ended(running).returncode == 0
    shown.wait("document.querySelector('#answers tbody tr')?.innerText.includes('fetched')")
    shown.wait("document.querySelector('#transfers').hidden")
    assert shown.texts("#clients tbody td:first-child") == ["127.0.0.1"]
    shown.wait("document.querySelector('#repos td:first-child')?.innerText === 'org/m'")
    assert shown.problems == []


def test_names_of_files_are_no_markup(shown: Page, server: Server, users: Users) -> None:
    user = users(server)
    assert user.get(f"/org/m/resolve/main/{quote(MARKUP)}", "-g") == FILES[MARKUP]
    user.run("curl", "-sS", "-g", "-o", "got", f"{server.url}/<b>org</b>/x/resolve/main/{SCRIPT}")
    shown.wait("document.querySelectorAll('#answers tbody tr').length === 2")
    assert shown.texts("#answers tbody td:first-child") == ["(not shown)", f"org/m/{MARKUP}"]
    assert shown.value("document.querySelectorAll('main img, main script, main b').length") == 0
    assert shown.value("document.title") == "glm-aria"
    assert shown.problems == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1280, "dark")])
def test_it_fits_a_phone_and_the_dark(shown: Page, server: Server, width: int, scheme: str) -> None:
    shown.resize(width, 740)
    shown.prefer(scheme)
    look(shown, server)
    assert shown.value("document.documentElement.scrollWidth") == width
    paper = shown.value("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 23, 26)") == (scheme == "dark")


def test_a_browser_that_likes_chinese_gets_it_and_may_switch(shown: Page, server: Server) -> None:
    shown.prefer("light", "zh-CN,zh;q=0.9,en;q=0.8")
    look(shown, server)
    assert shown.value("document.documentElement.lang") == "zh"
    assert shown.texts("#state") == ["实时"]
    shown.value("document.querySelector('nav a').click()")
    shown.wait("document.documentElement.lang === 'en' && document.getElementById('state').className === 'live'")
    assert shown.texts("#state") == ["live"]


def test_headings_tables_and_controls_have_names(shown: Page, server: Server) -> None:
    tree = shown.call("Accessibility.getFullAXTree")["nodes"]
    found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]}
    assert ("heading", "Use this server") in found
    assert "status" in {role for role, _ in found}
    assert all(name for role, name in found if role in ("link", "heading", "table", "progressbar", "region"))


def test_a_server_that_ended_is_told(shown: Page, server: Server) -> None:
    server.stop()
    shown.wait("document.getElementById('state').className === 'lost'")
