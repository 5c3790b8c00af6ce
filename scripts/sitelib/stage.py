"""The documents of the repository as pages of a site: one folder of Markdown for each language.

The files stay where a forge shows them, with links from file to file. Here each gets its place in the site, its links
lead there, and what mkdocs reads otherwise than a forge does is written as mkdocs wants it.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.sitelib.schema import schema_page

TRANSLATION = ".zh-CN.md"
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"^<!--.*?-->\n", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
# Alone on a line below the title: a site has a switch for it.
SWITCH = re.compile(r"\A(# .*\n)\n\[[^]]*\]\(README(?:\.zh-CN)?\.md\)\n")
# A line of Chinese that goes on in the next one: a browser would show a space between them.
WRAPPED = re.compile(r"(?<=[{0}])\n *(?=[{0}])".format(r"\u2018-\u201d\u3000-\u303f\u3400-\u9fff\uff00-\uffef"))
OUTSIDE_DOCS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "licence.md",
    "SECURITY.md": "reporting.md",
    "STYLE.md": "style.md",
}
ASSETS = ("docs/pictures/*.svg", "docs/pictures/*.webp", "docs/schema.json", "proto/*.proto")


class StrayLinkError(Exception):
    """A link leads to a file that has no place in the site."""


def pages(repo: Path) -> dict[str, str]:
    """The place in the site of each document, by its path in the repository; translations have that of the original."""
    found = dict(OUTSIDE_DOCS)
    for path in sorted((repo / "docs").rglob("*.md")):
        source = path.relative_to(repo).as_posix()
        if not source.endswith(TRANSLATION):
            found[source] = re.sub(r"(^|/)README\.md$", r"\1index.md", source.removeprefix("docs/"))
    return found


def assets(repo: Path) -> dict[str, str]:
    """The same for what is copied as it is."""
    found = (path.relative_to(repo).as_posix() for pattern in ASSETS for path in sorted(repo.glob(pattern)))
    return {source: source.removeprefix("docs/") for source in found}


def stage(repo: Path, folder: Path, language: str, words: Mapping[str, Any]) -> list[str]:
    """Write the pages in `en` or `zh` into the folder, and return their places."""
    places = pages(repo) | assets(repo)
    for source, place in assets(repo).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo / source, folder / place)
    for source, place in pages(repo).items():
        translation = repo / source.replace(".md", TRANSLATION)
        if source == "LICENSE":
            text = f"# {words['licence']}\n\n```text\n{(repo / source).read_text('utf-8')}```\n"
        elif language == "zh" and translation.exists():
            text = page(translation.read_text("utf-8"), source, places)
        else:
            text = page((repo / source).read_text("utf-8"), source, places)
            if "untranslated" in words:
                text = re.sub(r"\A(# .*\n)", rf'\1\n!!! info "{words["untranslated"]}"\n', text)
        if place == "index.md":  # its menu would have one line
            text = f"---\nhide: [navigation]\n---\n{text}"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, "utf-8")
    (folder / "schema.md").write_text(schema_page(repo / "docs" / "schema.json", words), "utf-8")
    return [*pages(repo).values(), "schema.md"]


def page(text: str, source: str, places: dict[str, str]) -> str:
    """The text of a document as mkdocs reads it, with links that lead within the site."""
    made, end = [], 0
    for fence in FENCE.finditer(text):
        made += [prose(text[end : fence.start()], source, places), fenced(fence["info"], fence["body"])]
        end = fence.end()
    return "".join([*made, prose(text[end:], source, places)])


def prose(text: str, source: str, places: dict[str, str]) -> str:
    # A comment right before a table makes it a paragraph for mkdocs.
    text = WRAPPED.sub("", COMMENT.sub("\n", SWITCH.sub(r"\1", text)))
    return LINK.sub(lambda link: moved(link[1], source, places), text)


def fenced(info: str, body: str) -> str:
    language, _, rest = info.partition(" ")
    title = f' title="{rest}"' if "." in rest else ""
    return f"```{language}{title}\n{body}```"


def moved(target: str, source: str, places: dict[str, str]) -> str:
    """The target of a link, from the place of its page."""
    name, mark, anchor = target.partition("#")
    if not name or re.match(r"[a-z]+:", target):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name)).replace(TRANSLATION, ".md")
    for candidate in (path, f"{path}/README.md"):
        if candidate in places:
            place = posixpath.relpath(places[candidate], posixpath.dirname(places[source]) or ".")
            return f"{place}{mark}{anchor}"
    raise StrayLinkError(f"{source}: {target} leads out of the site")


def menu(parts: list[dict[str, Any]], language: str, places: list[str]) -> list[object]:
    """The menu as mkdocs wants it, of the tables of site.toml; a part without pages is left out."""
    named = set(_named(parts))
    return list(_entries(parts, language, [place for place in places if place not in named]))


def _named(parts: list[dict[str, Any]]) -> Iterator[str]:
    for part in parts:
        yield from part.get("pages", ())
        yield from _named(part.get("section", []))


def _entries(parts: list[dict[str, Any]], language: str, rest: list[str]) -> Iterator[object]:
    for part in parts:
        below: list[object] = []
        for name in part.get("pages", ()):
            found = [place for place in rest if Path(place).match(name)] if "*" in name else [name]
            below += sorted(found, key=lambda place: (not str(place).endswith("index.md"), place))
        below += _entries(part.get("section", []), language, rest)
        if language not in part:
            yield from below
        elif below:
            yield {part[language]: below}
