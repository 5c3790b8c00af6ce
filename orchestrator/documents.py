"""The JSON documents of `--json`: envelope, outcome, encoder, decoder, and the schema of types.

The data of a document is a frozen dataclass of plain values: text, numbers, tuples, mappings and further dataclasses.
Each room makes those of what it reports. The names of the fields are the keys, in the order of the class; a union of
two classes has either form. A text that a library or a server may have written goes through `core.text.redacted`.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from orchestrator import manual
from orchestrator.core.text import redacted
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import GlmAriaError, Interrupted, PartialError, StrictError, error_classes
from orchestrator.events import Notice

SCHEMA = "glm-aria/1"
Json = dict[str, Any]
T = TypeVar("T")
Status = Literal["success", "partial", "error", "interrupted"]
_LARGEST = 2**53
"""Beyond lie NaN and the infinities, what no clock and no disk has, and what JSON cannot say exactly."""


class Form(NamedTuple):
    """Facts of the schema beside the type of a value: metadata of `Annotated`."""

    minimum: int | None = None
    pattern: str | None = None
    enum: tuple[str | int, ...] | None = None


Count = Annotated[int, Form(minimum=0)]
Amount = Annotated[float, Form(minimum=0)]
Commit = Annotated[str, Form(pattern="^[0-9a-f]{40}$")]
DigestText = Annotated[str, Form(pattern="^(sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40})$")]
ErrorCode = Annotated[str, Form(enum=tuple(sorted(kind.code for kind in error_classes())))]
ExitCode = Annotated[int, Form(enum=tuple(sorted({kind.exit_code for kind in error_classes()} | {0, 130, 143})))]
BytesBySource = Mapping[str, Count]

# The list that is there even in the document of a run that failed before it had a result.
ALWAYS = {"pull": "models", "plan": "models", "verify": "files", "watch": "watches"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run: its status and exit code, and every error, in order."""

    status: Status
    exit_code: int
    errors: tuple[GlmAriaError, ...] = ()

    @classmethod
    def of(
        cls,
        errors: Sequence[GlmAriaError] = (),
        models: int = 0,
        notices: Sequence[Notice] = (),
        *,
        interrupted: int | None = None,
        strict: bool = False,
    ) -> Outcome:
        """The outcome of a run over `models` models, of which each error ended one.

        A signal outranks all else. Failures of one class among models that all failed keep that class's exit code; any
        other mixture is 3. Warnings count only with `strict`, and only when nothing failed.
        """
        if interrupted is not None:
            stop = Interrupted(interrupted)
            others = (error for error in errors if not isinstance(error, Interrupted))
            return cls("interrupted", stop.exit_code, (*others, stop))
        if errors:
            codes = {error.exit_code for error in errors}
            all_failed = len(errors) >= models
            exit_code = codes.pop() if all_failed and len(codes) == 1 else PartialError.exit_code
            return cls("error" if all_failed else "partial", exit_code, tuple(errors))
        if strict and notices:
            error = StrictError(f"done, with {len(notices)} warning(s), which --strict makes an error")
            return cls("success", error.exit_code, (error,))
        return cls("success", 0)


@dataclass(frozen=True, slots=True)
class WarningEntry:
    """A notice."""

    code: str
    message: str
    mirror: str | None
    file: str | None

    @classmethod
    def of(cls, notice: Notice) -> Self:
        """The entry of a notice."""
        return cls(notice.code, redacted(notice.message), notice.mirror, notice.file)


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """An error: what a script can rely on, and what a person needs."""

    code: ErrorCode
    exit_code: ExitCode
    message: str
    file: str | None
    mirror: str | None
    hint: str | None
    details: tuple[str, ...]
    retryable: bool
    resumable: bool
    more: str

    @classmethod
    def of(cls, error: GlmAriaError) -> Self:
        """The entry of an error."""
        return cls(
            code=error.code,
            exit_code=error.exit_code,
            message=redacted(error.message),
            file=error.file,
            mirror=error.source,
            hint=redacted(error.hint) if error.hint else None,
            details=tuple(map(redacted, error.details)),
            retryable=error.retryable,
            resumable=error.resumable,
            more=manual.command(error.code),
        )


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """The trust in a listing: its level, its source, and the sites that confirmed it."""

    level: Level
    source: str
    confirmed_by: tuple[str, ...]

    @classmethod
    def of(cls, trust: Trust) -> Self:
        """The entry of what a listing was worth."""
        return cls(Level(trust.level), trust.source, trust.confirmed_by)


@dataclass(frozen=True, slots=True)
class Document:
    """The document that every command prints with `--json`. `data` is a dataclass of the room that did the work."""

    schema: str
    command: str
    status: Status
    exit_code: ExitCode
    data: object
    warnings: tuple[WarningEntry, ...]
    errors: tuple[ErrorEntry, ...]


def document(command: str, outcome: Outcome, data: object, notices: Iterable[Notice] = ()) -> Document:
    """The document of a command that has a result."""
    return Document(
        SCHEMA,
        command,
        outcome.status,
        outcome.exit_code,
        data,
        tuple(map(WarningEntry.of, notices)),
        tuple(map(ErrorEntry.of, outcome.errors)),
    )


def failure(command: str, error: GlmAriaError) -> Document:
    """The document for an error that ended the command before it had a result."""
    status: Status = "interrupted" if isinstance(error, Interrupted) else "error"
    data: Json = {ALWAYS[command]: ()} if command in ALWAYS else {}
    return document(command, Outcome(status, error.exit_code, (error,)), data)


# -- JSON and its schema -----------------------------------------------------------------------------------------------


def encode(value: object, *, indent: int | None = None) -> str:
    """A document, an event or a part of one as JSON. All ASCII: a name can hold no escape code."""
    return json.dumps(value, default=_fields, ensure_ascii=True, indent=indent)


def _fields(value: Any) -> Json:
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no plain value")
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def schema_of(kind: Any) -> Json:
    """The JSON Schema (draft 2020-12) of a type. Keys may be added within a version, so no object is closed."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        more: Form = arguments[1]
        # What an enum lists has its type already.
        form = schema_of(arguments[0]) if more.enum is None else {}
        return form | {key: value for key, value in more._asdict().items() if value is not None}
    if origin is Literal:
        return {"enum": list(arguments)} if arguments[1:] else {"const": arguments[0]}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(item) for item in arguments]}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    return _schema_of_class(kind)


def _schema_of_class(kind: Any) -> Json:
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(cast(type, kind), include_extras=True)
        properties = {field.name: schema_of(hints[field.name]) for field in dataclasses.fields(kind)}
        return {"type": "object", "required": list(properties), "properties": properties}
    if kind is object:
        return {}
    if issubclass(kind, StrEnum):
        return {"enum": [item.value for item in kind]}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": names[kind]}


# -- back


def decode(kind: type[T], value: object) -> T:
    """A dataclass of plain values from its JSON; keys that it does not know are passed over. Raises ValueError."""
    return cast(T, _decoded(kind, value, kind.__name__))


def _decoded(kind: Any, value: object, where: str) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _decoded(arguments[0], value, where)
    if origin in (Union, types.UnionType):
        (only,) = (one for one in arguments if one is not type(None))
        return None if value is None else _decoded(only, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        return tuple(_decoded(arguments[0], one, where) for one in value)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no object")
        return {key: _decoded(arguments[1], one, f"{where}.{key}") for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no object")
        hints = get_type_hints(cast(type, kind), include_extras=True)
        missing = [field.name for field in dataclasses.fields(kind) if field.name not in value]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        return cast(type, kind)(**{name: _decoded(hint, value[name], name) for name, hint in hints.items()})
    if issubclass(kind, StrEnum):
        return kind(str(value))
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{where} is no {kind.__name__}")
    if kind in (int, float) and not -_LARGEST <= cast(float, value) <= _LARGEST:
        raise ValueError(f"{where} is out of all bounds")
    return float(cast(float, value)) if kind is float else value
