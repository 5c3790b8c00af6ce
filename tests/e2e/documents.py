"""The shape of the JSON documents, written down from the contract and independent of the code that makes them."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_STATUS = {
    0: "success",
    100: "success",
    3: "partial",
    130: "interrupted",
    143: "interrupted",
}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_Shape = dict[str, Any]

_ENVELOPE: _Shape = {
    "schema": str,
    "command": str,
    "status": str,
    "exit_code": int,
    "data": dict,
    "warnings": list,
    "errors": list,
}
_WARNING: _Shape = {"code": str, "message": str, "mirror": str | None, "file": str | None}
_ERROR: _Shape = {
    "code": str,
    "exit_code": int,
    "message": str,
    "file": str | None,
    "mirror": str | None,
    "hint": str | None,
    "retryable": bool,
    "resumable": bool,
}
_PULLED: _Shape = {
    "ref": str,
    "commit": str | None,
    "trust": dict | None,
    "snapshot": str | None,
    "local_dir": str | None,
    "files": list,
    "bytes_total": int,
    "bytes_fetched": int,
    "bytes_reused": int,
    "seconds": float | int,
}
_FILE: _Shape = {"path": str, "size": int, "digest": str, "state": str, "sources": dict}


def check_document(document: Any, code: int) -> None:
    """Assert that the document of a command that ended with `code` has the shape of the contract, and of the schema."""
    _schema().validate(document)
    _has(document, _ENVELOPE)
    assert document["schema"] == "glm-aria/1"
    assert document["exit_code"] == code
    if code == 3:
        assert document["status"] in ("partial", "error")
    else:
        assert document["status"] == _STATUS.get(code, "error")
    for warning in document["warnings"]:
        _has(warning, _WARNING)
    for error in document["errors"]:
        _has(error, _ERROR)
    assert bool(document["errors"]) == (code != 0)
    if document["command"] == "pull":
        for model in document["data"]["models"]:
            _check_pulled(model)


@cache
def _schema() -> Draft202012Validator:
    """The published one, so that every document of the end-to-end tests is held against it."""
    found = json.loads(Path(__file__).parents[2].joinpath("docs", "schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def _check_pulled(model: Any) -> None:
    _has(model, _PULLED)
    assert model["commit"] is None or _COMMIT.fullmatch(model["commit"])
    if model["trust"] is not None:
        _has(model["trust"], {"level": str, "source": str, "confirmed_by": list})
        assert model["trust"]["level"] in ("lock", "root", "agree", "single", "commit")
        confirmed = model["trust"]["level"] in ("agree", "commit")
        assert bool(model["trust"]["confirmed_by"]) == confirmed
    blobs = {}
    for file in model["files"]:
        _has(file, _FILE)
        assert _DIGEST.fullmatch(file["digest"])
        assert file["state"] in ("fetched", "present", "linked", "failed", "skipped")
        assert all(isinstance(name, str) and isinstance(sent, int) for name, sent in file["sources"].items())
        blobs[file["digest"]] = file
    assert model["bytes_total"] == sum(file["size"] for file in blobs.values())
    assert model["bytes_fetched"] == sum(f["size"] for f in blobs.values() if f["state"] == "fetched")
    assert model["bytes_reused"] == sum(f["size"] for f in blobs.values() if f["state"] in ("present", "linked"))


def _has(value: Any, shape: _Shape) -> None:
    """The fields that the contract names are there with their types; further ones may be."""
    assert isinstance(value, dict), value
    for name, kind in shape.items():
        assert name in value, f"{name} is missing in {value}"
        assert isinstance(value[name], kind), f"{name} is {value[name]!r}"
        assert kind is not int or not isinstance(value[name], bool)
