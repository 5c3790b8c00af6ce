"""JSON documents as they go out; long ones are made without keeping others waiting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONG = 200
"""Entries from which on a list is encoded entry by entry."""


def encoded(document: Any) -> bytes:
    """JSON in UTF-8. A long list is encoded entry by entry: all at once would keep other threads waiting."""
    return b"".join(_pieces(document)) if _is_long(document) else dumped(document)


def _is_long(document: Any) -> bool:
    if isinstance(document, dict):
        return any(map(_is_long, document.values()))
    return isinstance(document, list) and len(document) >= LONG


def _pieces(document: Any) -> list[bytes]:
    if isinstance(document, dict):
        inside = [b"%b:%b" % (dumped(name), encoded(value)) for name, value in document.items()]
        return [b"{", b",".join(inside), b"}"]
    return [b"[", b",".join(map(dumped, document)), b"]"]


def dumped(document: Any) -> bytes:
    """JSON in UTF-8, made at once."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Print:
    """A document as it goes out. `then` is the page after this one, as path and query."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    then: str | None = None
