"""Documents from JSON: the other way of `documents.encode`, for what a server sent. No I/O."""

from __future__ import annotations

import dataclasses
import types
from enum import StrEnum
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
_MOST = 2**53
"""Beyond lie NaN and the infinities, what no clock and no disk has, and what JSON cannot say exactly."""


def read(kind: type[T], value: object) -> T:
    """A dataclass of plain values from its JSON; keys that it does not know are passed over. Raises ValueError."""
    return cast(T, _read(kind, value, kind.__name__))


def _read(kind: Any, value: object, where: str) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _read(arguments[0], value, where)
    if origin in (Union, types.UnionType):
        (only,) = (one for one in arguments if one is not type(None))
        return None if value is None else _read(only, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        return tuple(_read(arguments[0], one, where) for one in value)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no object")
        hints = get_type_hints(cast(type, kind), include_extras=True)
        missing = [field.name for field in dataclasses.fields(kind) if field.name not in value]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        return cast(type, kind)(**{name: _read(hint, value[name], name) for name, hint in hints.items()})
    if issubclass(kind, StrEnum):
        return kind(str(value))
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{where} is no {kind.__name__}")
    if kind in (int, float) and not -_MOST <= cast(float, value) <= _MOST:
        raise ValueError(f"{where} is out of all bounds")
    return float(cast(float, value)) if kind is float else value
