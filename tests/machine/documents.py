"""What holds of every JSON document: the published schema, and what a schema cannot say."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_STATUS = {0: "success", 100: "success", 3: "partial", 130: "interrupted", 143: "interrupted"}


def check_document(document: Any, code: int) -> None:
    """Assert that the document of a command that ended with `code` keeps the contract."""
    _schema().validate(document)
    assert document["exit_code"] == code
    if code == 3:
        assert document["status"] in ("partial", "error")
    else:
        assert document["status"] == _STATUS.get(code, "error")
    assert bool(document["errors"]) == (code != 0)
    if document["command"] == "pull":
        for model in document["data"]["models"]:
            _check_pulled(model)


@cache
def _schema() -> Draft202012Validator:
    """The published one, so that every document of the end-to-end tests is held against it."""
    found = json.loads(Path(__file__).parents[2].joinpath("docs", "schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(found)
    # Every command is in it: a new one cannot be forgotten.
    return Draft202012Validator(found | {"properties": found["properties"] | {"command": {"enum": _commands(found)}}})


def _commands(schema: Any) -> list[str]:
    return [rule["if"]["properties"]["command"]["const"] for rule in schema["allOf"]] + ["glm-aria"]


def _check_pulled(model: Any) -> None:
    if model["trust"] is not None:
        assert bool(model["trust"]["confirmed_by"]) == (model["trust"]["level"] in ("agree", "commit"))
    blobs = {file["digest"]: file for file in model["files"]}.values()
    assert model["bytes_total"] == sum(file["size"] for file in blobs)
    assert model["bytes_fetched"] == sum(f["size"] for f in blobs if f["state"] == "fetched")
    assert model["bytes_reused"] == sum(f["size"] for f in blobs if f["state"] in ("present", "linked"))
