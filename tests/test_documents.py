"""The documents: how a run ended, what JSON becomes of values, and the schema that types give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from jsonschema import Draft202012Validator

from orchestrator.cli.main import cli
from orchestrator.cli.schema import DATA, schema
from orchestrator.documents import (
    ALWAYS,
    Amount,
    Commit,
    Count,
    Outcome,
    document,
    encode,
    failure,
    schema_of,
)
from orchestrator.errors import GlmAriaError, Interrupted, NotFoundError, TemporaryError
from orchestrator.events import Notice

GONE = NotFoundError("gone \x1b[2J", hint="look at https://me:pw@site/", file="a.bin")
SLOW = Notice("slow", "hf_abcdefghijk is slow", "near")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    size: Count


@dataclass(frozen=True, slots=True)
class Whole:
    colour: Colour
    parts: tuple[Part, ...]
    rates: Mapping[str, Amount]
    commit: Commit | None
    way: Literal["one", "two"]
    other: object
    is_done: bool


WHOLE = Whole(Colour.RED, (Part("ä", 1),), {"near": 1.5}, None, "two", [1, "x"], True)


# -- how a run ended ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "models", "notices", "interrupted", "strict", "status", "code"),
    [
        ((), 1, (), None, False, "success", 0),
        ((), 1, (SLOW,), None, False, "success", 0),
        ((), 1, (SLOW,), None, True, "success", 100),
        ((GONE,), 1, (SLOW,), None, True, "error", 66),
        ((GONE, GONE), 2, (), None, False, "error", 66),
        ((GONE, TemporaryError("later")), 2, (), None, False, "error", 3),
        ((GONE,), 2, (), None, False, "partial", 3),
        ((GONE, Interrupted(2)), 2, (), 2, False, "interrupted", 130),
    ],
)
def test_the_outcome(
    errors: tuple[GlmAriaError, ...],
    models: int,
    notices: tuple[Notice, ...],
    interrupted: int | None,
    strict: bool,
    status: str,
    code: int,
) -> None:
    found = Outcome.of(errors, models, notices, interrupted=interrupted, strict=strict)
    assert (found.status, found.exit_code) == (status, code)
    assert bool(found.errors) is (code != 0)


def test_a_signal_is_told_once_and_last() -> None:
    found = Outcome.of((Interrupted(2), GONE), 2, interrupted=15)
    assert [error.code for error in found.errors] == ["not-found", "interrupted"]


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_fields_become_keys_in_their_order() -> None:
    text = encode(WHOLE)
    assert text.isascii()
    assert list(json.loads(text)) == ["colour", "parts", "rates", "commit", "way", "other", "is_done"]
    assert json.loads(text)["parts"] == [{"name": "ä", "size": 1}]


def test_what_is_no_plain_value_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="Path is no plain value"):
        encode({"path": Path("x")})


def test_text_from_outside_is_harmless_in_a_document() -> None:
    made = json.loads(encode(document("verify", Outcome.of((GONE,), 1), WHOLE, [SLOW])))
    assert made["errors"][0]["message"] == "gone \\x1b[2J"
    assert made["errors"][0]["hint"] == "look at https://***@site/"
    assert made["warnings"][0]["message"] == "hf_*** is slow"


@pytest.mark.parametrize("command", DATA)
def test_a_failure_keeps_the_schema(command: str) -> None:
    made = json.loads(encode(failure(command, GONE)))
    Draft202012Validator(schema()).validate(made)
    assert list(made["data"]) == ([ALWAYS[command]] if command in ALWAYS else [])


# -- the schema --------------------------------------------------------------------------------------------------------


def test_the_schema_of_a_type() -> None:
    made = schema_of(Whole)
    Draft202012Validator.check_schema(made)
    Draft202012Validator(made).validate(json.loads(encode(WHOLE)))
    assert made["required"] == list(made["properties"])
    assert made["properties"] == {
        "colour": {"enum": ["red", "blue"]},
        "parts": {"type": "array", "items": schema_of(Part)},
        "rates": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
        "commit": {"anyOf": [{"type": "string", "pattern": "^[0-9a-f]{40}$"}, {"type": "null"}]},
        "way": {"enum": ["one", "two"]},
        "other": {},
        "is_done": {"type": "boolean"},
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [("colour", "green"), ("parts", [{"name": "x"}]), ("rates", {"near": -1}), ("commit", "main"), ("way", "three")],
)
def test_the_schema_refuses(key: str, value: Any) -> None:
    wrong = json.loads(encode(WHOLE)) | {key: value}
    assert not Draft202012Validator(schema_of(Whole)).is_valid(wrong)


def test_every_command_with_json_has_a_document() -> None:
    context = click.Context(cli)
    found = set()
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        below = {"": command, **(command.commands if isinstance(command, click.Group) else {})}
        found |= {
            f"{name} {word}".strip()
            for word, one in below.items()
            if any("--json" in parameter.opts for parameter in one.params)
        }
    assert found == set(DATA)
