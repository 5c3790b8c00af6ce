"""The words of the dashboard in each language that it speaks, and the choice of one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from orchestrator import templating

Words = Mapping[str, Any]
"""Texts by what they are for; `lang` is the language's code, `name` what it calls itself."""

_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


@lru_cache
def languages() -> Mapping[str, Words]:
    """The words of each language by its code; the first is for those who speak none of them."""
    return {code: {"lang": code, **words} for code, words in tomllib.loads(templating.read("dashboard.toml")).items()}


def chosen(asked: str, accepted: str) -> str:
    """The code of the language that was `asked` for, or else of the one that the browser's header likes best."""
    known = languages()
    if asked in known:
        return asked
    ranges = [found for part in accepted[:500].split(",") if (found := _RANGE.fullmatch(part))]
    liked = sorted(ranges, key=lambda found: -float(found[2] or 1))
    names = (found[1].lower() for found in liked if float(found[2] or 1) > 0)
    return next((name for name in names if name in known), next(iter(known)))
