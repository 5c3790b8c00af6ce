"""JSON that somebody else may have written: every way in which it can be wrong is a ValueError.

Readers of JSON differ where RFC 8259 leaves them free: of a key that an object has twice, one takes the first value and
another the last. What one of them judges, another then acts upon. So what can be read in two ways is no document here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

Pairs = list[tuple[str, Any]]


def parse_json(text: str | bytes, *, has_nan: bool = False) -> Any:
    """Parse a document. Raises ValueError, also for a key that stands twice in an object, other encodings than UTF-8,
    what is nested too deep, and for `NaN` and `Infinity`, unless it `has_nan`, as what Python writes may."""
    return _parse(text, _object, None if has_nan else _no_constant)


def parse_folded_json(text: str | bytes, known: Collection[str]) -> Any:
    """The same for documents that are also read by programs to which the case of a key is nothing, as those in Go are.

    Raises ValueError, too, for keys of an object that differ by their case only, and for one that differs so from a
    `known` key, which such a program would take for that one.
    """
    return _parse(text, partial(_folded_object, {key.casefold(): key for key in known}), _no_constant)


def _parse(text: str | bytes, make: Callable[[Pairs], dict[str, Any]], constant: Callable[[str], object] | None) -> Any:
    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return json.loads(plain, object_pairs_hook=make, parse_constant=constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _object(pairs: Pairs) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in an object")
    return found


def _folded_object(known: dict[str, str], pairs: Pairs) -> dict[str, Any]:
    found, seen = _object(pairs), dict[str, str]()
    for name in found:
        # Go folds by single letters of Unicode; to fold more than it does is to refuse what nobody writes.
        folded = name.casefold()
        other = seen.setdefault(folded, known.get(folded, name))
        if other != name:
            raise ValueError(f"the key {name!r} differs from {other!r} by its case only")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
