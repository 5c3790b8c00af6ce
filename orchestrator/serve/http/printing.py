"""Long JSON documents: made without keeping others waiting, and kept for the next who wants them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

LONG = 200
"""Entries from which on a list is encoded entry by entry."""
_MOST_BYTES = 32 << 20


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


class Printed:
    """Documents that were made lately, up to 32 MB: many who ask for a long one and read it slowly share its bytes."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._known: OrderedDict[Hashable, Print] = OrderedDict()

    def get(self, key: Hashable) -> Print | None:
        """The document of this key."""
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
        return known

    def keep(self, key: Hashable, document: Print) -> None:
        """Keep a document; the longest unused ones give way."""
        if (known := self._known.pop(key, None)) is not None:
            self._size -= len(known.body)
        self._known[key] = document
        self._size += len(document.body)
        while self._size > self._most:
            self._size -= len(self._known.popitem(last=False)[1].body)
