"""Model cards: what the front matter of a `README.md` says (huggingface_hub `ModelCardData`). No I/O.

A card is its author's word, and nothing is decided by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

CARD = "README.md"
"""The file that is the card of a model."""
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_LICENSE = re.compile(r"^license:[ \t]*['\"]?([A-Za-z0-9][A-Za-z0-9.+-]*)['\"]?[ \t]*$", re.MULTILINE)
_BASE = re.compile(r"base_model:[ \t]*(.*)")
_ENTRY = re.compile(r"[ \t]*-[ \t]+(.*)")
_NAME = re.compile(r"['\"]?([A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)['\"]?[ \t]*(?:#.*)?", re.ASCII)


def license_of(card: str) -> str | None:
    """The licence that a card names."""
    found = _LICENSE.search(_front_matter(card))
    return found[1] if found else None


def bases_of(card: str) -> tuple[str, ...]:
    """The models that a card names as those which this one was made of."""
    lines = iter(_front_matter(card).splitlines())
    said = next((found[1] for line in lines if (found := _BASE.fullmatch(line))), "")
    listed = said.strip("[] \t").split(",") if said.strip() else _entries(lines)
    names = (_NAME.fullmatch(text.strip()) for text in listed)
    return tuple(found[1] for found in names if found)


def _entries(lines: Iterator[str]) -> list[str]:
    return [found[1] for found in takewhile(bool, map(_ENTRY.fullmatch, lines)) if found]


def _front_matter(card: str) -> str:
    found = _FRONT_MATTER.search(card)
    return found[1] if found else ""
