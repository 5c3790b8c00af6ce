"""scripts/site: every link leads somewhere, nothing comes from elsewhere, and both languages can be searched."""

import html
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from scripts.sitelib.stage import TRANSLATION, StrayLinkError, menu, page, pages
from tests.serve.pages.browser import Page, browser

REPO = Path(__file__).parents[2]
NOTE = "这一页还没有中文译文"
TAG = re.compile(r"<(?P<name>[a-z][a-z0-9-]*)(?P<attributes>(?:\s[^<>]*)?)>")
ATTRIBUTE = re.compile(r'\s(id|name|href|src|rel)="([^"]*)"')
ARTICLE = re.compile(r'<article class="md-content__inner md-typeset">(.*?)</article>', re.DOTALL)


@dataclass(frozen=True)
class Html:
    """A built file."""

    text: str

    @cached_property
    def tags(self) -> list[tuple[str, dict[str, str]]]:
        return [
            (tag["name"], {key: html.unescape(value) for key, value in ATTRIBUTE.findall(tag["attributes"])})
            for tag in TAG.finditer(self.text)
        ]

    @cached_property
    def anchors(self) -> set[str]:
        return {told[key] for _, told in self.tags for key in ("id", "name") if key in told}


@dataclass(frozen=True)
class Site:
    folder: Path

    @cached_property
    def pages(self) -> dict[Path, Html]:
        return {path: Html(path.read_text("utf-8")) for path in sorted(self.folder.rglob("*.html"))}

    def at(self, place: str) -> Html:
        """The page that was made of a place such as `guides/pull.md`."""
        made = self.folder / place.removesuffix(".md")
        return self.pages[made.parent / "index.html" if made.name == "index" else made / "index.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    target = tmp_path_factory.mktemp("site") / "made"
    made = subprocess.run(
        [REPO / "scripts" / "site", target],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return Site(target)


def test_every_link_leads_to_a_page_and_a_heading_that_are_there(site: Site) -> None:
    dead = []
    for path, found in site.pages.items():
        if path.name == "404.html":  # at any depth: its links begin at the root of a host
            continue
        for link in {told[key] for _, told in found.tags for key in ("href", "src") if key in told}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                dead.append(f"{path.relative_to(site.folder)}: {link}")
            elif parts.fragment and target in site.pages:
                anchor = unquote(parts.fragment)
                if anchor not in site.pages[target].anchors and not anchor.startswith("__"):
                    dead.append(f"{path.relative_to(site.folder)}: {link}, no such heading")
    assert dead == []
    assert len(site.pages) > 300


def test_no_page_asks_a_foreign_host(site: Site) -> None:
    foreign = set()
    for found in site.pages.values():
        for name, told in found.tags:
            loaded = told.get("src") or (told.get("href") if name == "link" else None)
            if loaded and urlsplit(loaded).netloc:
                foreign.add(loaded)
    for path in site.folder.rglob("*.css"):
        foreign |= set(re.findall(r"(?:url\(|@import\s+)['\"]?(?:https?:)?//[^)'\"]+", path.read_text("utf-8")))
    for path in site.folder.rglob("*.svg"):
        foreign |= set(re.findall(r"url\(['\"]?(?:https?:)?//[^)'\"]+", path.read_text("utf-8")))
    assert foreign == set()


def test_every_document_has_a_page_in_both_languages(site: Site) -> None:
    for source, place in pages(REPO).items():
        english, chinese = site.at(place), site.at(f"zh/{place}")
        is_translated = (REPO / source.replace(".md", TRANSLATION)).exists()
        assert NOTE not in english.text, place
        assert (NOTE in chinese.text) is not (is_translated or source == "LICENSE"), place


@pytest.mark.parametrize(("source", "target"), [("guides/pull", "zh/guides/pull"), ("zh/guides/pull", "guides/pull")])
def test_the_switch_of_languages_leads_to_the_same_page(site: Site, source: str, target: str) -> None:
    folder = site.folder / source
    links = re.findall(r'<a href="([^"]+)" hreflang="\w+" class="md-select__link">', site.at(f"{source}.md").text)
    assert {Path(os.path.normpath(folder / link)) for link in links} == {folder, site.folder / target}


def test_a_page_has_the_parts_that_a_forge_shows(site: Site) -> None:
    """Lists, tables and blocks of code that mkdocs reads otherwise than GitHub would be lost among the text."""
    markdown = MarkdownIt("commonmark").enable("table")
    for source, place in pages(REPO).items():
        if source == "LICENSE":
            continue
        tokens = Counter(token.type for token in markdown.parse((REPO / source).read_text("utf-8")))
        (article,) = ARTICLE.findall(site.at(place).text)
        seen = Counter(tag["name"] for tag in TAG.finditer(article))
        assert seen["tr"] == tokens["tr_open"], f"{source}: rows of tables"
        assert seen["li"] == tokens["list_item_open"], f"{source}: members of lists"
        assert seen["pre"] == tokens["fence"] + tokens["code_block"], f"{source}: blocks of code"


def test_a_link_that_has_no_place_in_the_site_stops_the_build() -> None:
    with pytest.raises(StrayLinkError, match=r"docs/x\.md: \.\./orchestrator/errors\.py leads out"):
        page("[x](../orchestrator/errors.py)\n", "docs/x.md", pages(REPO) | {"docs/x.md": "x.md"})


def test_a_page_that_no_part_of_the_menu_names_stands_below_its_pattern() -> None:
    parts: list[dict[str, Any]] = [
        {"pages": ["index.md"]},
        {"en": "Guides", "zh": "指南", "pages": ["guides/a.md"], "section": [{"zh": "其他", "pages": ["guides/*.md"]}]},
        {"en": "Errors", "zh": "错误", "pages": ["errors/*.md"]},
    ]
    places = ["index.md", "guides/b.md", "guides/a.md", "guides/index.md"]
    rest = {"其他": ["guides/index.md", "guides/b.md"]}
    assert menu(parts, "zh", places) == ["index.md", {"指南": ["guides/a.md", rest]}]


def test_a_folder_of_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    words = [sys.executable, "-m", "scripts.sitelib", str(tmp_path)]
    made = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False)
    assert made.returncode == 1
    assert made.stderr == f"{tmp_path} holds something else than a site; name another folder\n"
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.fixture(scope="module")
def url(site: Site) -> Iterator[str]:
    """The site on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site.folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.mark.parametrize(
    ("words", "folder", "wanted"),
    [
        ("limit bandwidth", "/", "/guides/pull/"),
        ("镜像", "/zh/", "/zh/guides/mirrors-china/"),
        ("限制带宽", "/zh/", "/zh/guides/pull/"),
        ("--max-speed", "/zh/", "/zh/reference/"),
    ],
)
def test_a_search_finds_the_page_and_asks_nobody_else(
    tab: Page, url: str, words: str, folder: str, wanted: str
) -> None:
    tab.requests.clear()
    tab.problems.clear()
    tab.resize(1280, 900)
    tab.open(f"{url}{folder}?q={words}")
    tab.wait("document.querySelectorAll('.md-search-result__item').length > 0")
    found = tab.value("[...document.querySelectorAll('.md-search-result__link')].map(e => new URL(e.href).pathname)")
    assert wanted in found[:5], (found, tab.texts(".md-search-result__terms"))
    assert [request for request in tab.requests if not request.startswith((f"{url}/", "blob:", "data:"))] == []
    assert tab.problems == []
