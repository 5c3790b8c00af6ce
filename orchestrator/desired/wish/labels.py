"""Labels of a node, and the selectors of models. No I/O.

A selector is a table, `{ zone = "edge-*", gpu = "!no" }`: all of its patterns must fit the labels of the node. A
pattern behind `!` must not fit; a label that the node does not have is the empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from orchestrator.errors import UsageError

Labels = Mapping[str, str]
Selector = tuple[tuple[str, str], ...]
"""Pairs of a label and a pattern."""
_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.:/+-]{0,128}", re.ASCII)
_PATTERN = re.compile(r"!?[A-Za-z0-9_.:/+*?\[\]!-]{0,128}", re.ASCII)
_EXAMPLE = "for example zone=edge-7"


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """The labels in texts like `zone=edge-7`. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise UsageError(f"{text!r} is not a label", hint=_EXAMPLE)
        if found.setdefault(key, value) != value:
            raise UsageError(f"the label {key} is given twice", hint=_EXAMPLE)
    return found


def parse_selectors(value: object, where: str) -> tuple[Selector, ...]:
    """The selectors of a model, one table or several; `where` is put in errors. Raises UsageError."""
    tables: list[Any] = value if isinstance(value, list) else [value]
    if not tables or not all(isinstance(table, dict) and table for table in tables):
        raise UsageError(
            f"{where}: nodes must be a table of labels, or a list of such", hint='nodes = { zone = "edge-*" }'
        )
    return tuple(tuple(sorted(_pair(key, pattern, where) for key, pattern in table.items())) for table in tables)


def _pair(key: str, pattern: object, where: str) -> tuple[str, str]:
    if not _KEY.fullmatch(key) or not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        raise UsageError(f"{where}: nodes: {key!r} is not a label with a pattern", hint='nodes = { zone = "edge-*" }')
    return key, pattern


def is_for(selectors: Iterable[Selector], labels: Labels) -> bool:
    """True when one of the selectors fits, or there is none."""
    found = tuple(selectors)
    return not found or any(all(_fits(labels.get(key, ""), pattern) for key, pattern in one) for one in found)


def _fits(value: str, pattern: str) -> bool:
    if pattern.startswith("!"):
        return not fnmatchcase(value, pattern[1:])
    return fnmatchcase(value, pattern)
