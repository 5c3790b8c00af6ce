"""The JSON schema as a page: every field of every document in a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def schema_page(file: Path, words: Mapping[str, Any]) -> str:
    """The page, of what scripts/check-docs wrote."""
    schema = json.loads(file.read_text("utf-8"))
    sections = [(words["every_document"], schema)]
    for rule in schema["allOf"]:
        command = rule["if"]["properties"]["command"]["const"]
        sections.append((f"glm-aria {command}", rule["then"]["properties"]["data"]))
    sections += sorted(schema["$defs"].items())
    head = f"| {' | '.join(words['columns'])} |\n|---|---|"
    made = [words["schema"].lstrip()]
    for title, part in sections:
        rows = [f"| `{name}` | {kind} |" for name, kind in fields(part, "")]
        made.append("\n".join((f"## {title}\n", head, *rows, "")))
    return "\n".join(made)


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Each field below, with its path and what it may be."""
    required = schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here + ("" if name in required else "?"), kind_of(below)
        yield from inside(below, here)


def inside(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """What lies in an object, in each member of a list, or behind any key."""
    for choice in schema.get("anyOf", (schema,)):
        if "properties" in choice:
            yield from fields(choice, path)
        if isinstance(choice.get("items"), dict):
            yield from inside(choice["items"], f"{path}[]")
        if isinstance(choice.get("additionalProperties"), dict):
            yield from inside(choice["additionalProperties"], f"{path}.*")


def kind_of(schema: dict[str, Any]) -> str:
    """The type of a value in words, for a cell."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(choice) for choice in schema["anyOf"]))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in dict.fromkeys(schema["enum"]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if "pattern" in schema:
        return f"{kind} `{schema['pattern']}`".replace("|", "\\|")
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{kind} of {kind_of(schema['additionalProperties'])}"
    return kind
