"""docs/schema.json: the JSON documents of the commands, as a JSON Schema (draft 2020-12).

The keys and their types are read off documents that the program's own functions made, the codes and states off its
classes. What a sample cannot show stands in the tables below: which values may be null, and which have a fixed form.
As the reference says, keys may be added within a version, so no object is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.plan import Action
from orchestrator.core.trust import Level
from orchestrator.errors import error_classes
from orchestrator.pull.report import FileState
from orchestrator.upkeep.garbage import Kind
from orchestrator.upkeep.verify import State

Json = dict[str, Any]

_COMMIT = {"pattern": "^[0-9a-f]{40}$"}
_DIGEST = {"pattern": "^(sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40})$"}
_COUNT = {"minimum": 0}
_PER_SITE: Json = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}

# By the command and the way to the value; lists are passed through.
NULLABLE = {
    "pull": {"models.commit", "models.trust", "models.snapshot", "models.local_dir", "models.error"},
    "plan": {"models.commit", "models.trust", "disk"},
    "verify": {"files.size", "files.digest"},
    "cache gc": {"items.repo", "items.commit", "kept.repo"},
}
FORMS: dict[tuple[str, str], Json] = {
    ("pull", "models.commit"): _COMMIT,
    ("pull", "models.trust.level"): {"enum": [level.value for level in Level]},
    ("pull", "models.files.digest"): _DIGEST,
    ("pull", "models.files.state"): {"enum": [state.value for state in FileState]},
    ("plan", "models.commit"): _COMMIT,
    ("plan", "models.trust.level"): {"enum": [level.value for level in Level]},
    ("plan", "models.files.digest"): _DIGEST,
    ("plan", "models.files.action"): {"enum": [action.value for action in Action]},
    ("verify", "files.digest"): _DIGEST,
    ("verify", "files.state"): {"enum": [state.value for state in State]},
    ("verify", "files.method"): {"enum": ["digest", "pieces"]},
    ("cache gc", "items.kind"): {"enum": [kind.value for kind in Kind]},
}
# null where the sample has a value, and the other way round.
_STRING = {"type": "string"}
_UNKNOWN: dict[tuple[str, str], Json] = {
    ("pull", "models.local_dir"): _STRING,
    ("pull", "models.error"): {"enum": sorted(kind.code for kind in error_classes())},
    ("pull", "models.trust.confirmed_by"): {"type": "array", "items": _STRING},
    ("plan", "models.trust.confirmed_by"): {"type": "array", "items": _STRING},
}


def schema(samples: Mapping[str, Mapping[str, Any]], failures: Mapping[str, Mapping[str, Any]]) -> Json:
    """The schema. `samples` are whole documents by command, `failures` those of runs that had no result: they tell
    which keys are always there."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glm-aria/1",
        "description": "What a command of glm-aria prints with --json. Made by scripts/check-docs --write.",
        "type": "object",
        "required": ["schema", "command", "status", "exit_code", "data", "warnings", "errors"],
        "properties": {
            "schema": {"const": "glm-aria/1"},
            "command": {"type": "string"},
            "status": {"enum": ["success", "partial", "error", "interrupted"]},
            "exit_code": {"enum": _exit_codes()},
            "data": {"type": "object"},
            "warnings": {"type": "array", "items": {"$ref": "#/$defs/warning"}},
            "errors": {"type": "array", "items": {"$ref": "#/$defs/error"}},
        },
        "allOf": [_of_command(name, samples[name], failures[name]) for name in samples],
        "$defs": {"warning": _warning(), "error": _error()},
    }


def _exit_codes() -> list[int]:
    return sorted({kind.exit_code for kind in error_classes()} | {0, 130, 143})


def _warning() -> Json:
    maybe = {"type": ["string", "null"]}
    properties = {"code": {"type": "string"}, "message": {"type": "string"}, "mirror": maybe, "file": maybe}
    return {"type": "object", "required": list(properties), "properties": properties}


def _error() -> Json:
    maybe = {"type": ["string", "null"]}
    properties: Json = {
        "code": {"enum": sorted(kind.code for kind in error_classes())},
        "exit_code": {"enum": _exit_codes()},
        "message": {"type": "string"},
        "file": maybe,
        "mirror": maybe,
        "hint": maybe,
        "retryable": {"type": "boolean"},
        "resumable": {"type": "boolean"},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _of_command(name: str, sample: Mapping[str, Any], failure: Mapping[str, Any]) -> Json:
    data = _form(name, "", sample["data"])
    data["required"] = list(failure["data"])
    return {
        "if": {"properties": {"command": {"const": name}}},
        "then": {"properties": {"data": data}},
    }


def _form(command: str, way: str, value: Any) -> Json:
    """The schema of a value, from the sample and the tables."""
    known = _UNKNOWN.get((command, way))
    form = dict(known) if known else _bare(command, way, value)
    form |= FORMS.get((command, way), {})
    if "enum" in form:
        form.pop("type", None)
    if way in NULLABLE.get(command, ()):
        return {"anyOf": [form, {"type": "null"}]}
    return form


def _bare(command: str, way: str, value: Any) -> Json:
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"} | _COUNT
        case float():
            return {"type": "number"} | _COUNT
        case str():
            return {"type": "string"}
        case list():
            if not value:
                raise ValueError(f"the sample of {command} has nothing in {way}")
            return {"type": "array", "items": _form(command, way, value[0])}
        case dict() if way.endswith("sources"):
            return dict(_PER_SITE)
        case dict():
            properties = {key: _form(command, f"{way}.{key}".lstrip("."), item) for key, item in value.items()}
            return {"type": "object", "required": list(properties), "properties": properties}
    raise ValueError(f"the sample of {command} says nothing of {way}")


def unused(samples: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Entries of the tables that name nothing in the samples: leftovers of keys that are gone."""
    ways = {(name, way) for name, sample in samples.items() for way in _ways("", sample["data"])}
    named = {*FORMS, *_UNKNOWN, *((name, way) for name, found in NULLABLE.items() for way in found)}
    yield from (f"{name}: {way}" for name, way in sorted(named - ways))


def _ways(way: str, value: Any) -> Iterator[str]:
    yield way
    if isinstance(value, list):
        for item in value:
            yield from _ways(way, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _ways(f"{way}.{key}".lstrip("."), item)
