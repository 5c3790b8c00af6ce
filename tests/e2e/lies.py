"""Listings that lie, and a root that is down: for tests of whose word counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.hub.content import git_blob_oid, lfs_pointer
from tests.hub.faults import Fault

DOWN = "http://127.0.0.1:9"
"""Nothing listens on the discard port, and nobody may without being the superuser."""


def edited(change: Callable[[dict[str, Any]], None], path: str = "model.safetensors") -> Fault:
    """A listing in which the entry of `path` is another one."""

    def edit(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for entry in entries:
            if entry["path"] == path:
                change(entry)
        return [entry for entry in entries if entry["path"]]

    return Fault("lying_listing", "*/tree/*", edit=edit)


def forged(entry: dict[str, Any]) -> None:
    """Other bytes, consistently: the pointer's hash fits the sha256."""
    entry["lfs"]["oid"] = "ab" * 32
    entry["oid"] = git_blob_oid(lfs_pointer("ab" * 32, entry["size"]))


def disguised(entry: dict[str, Any]) -> None:
    """The pointer as if it were the file."""
    entry["size"] = entry.pop("lfs")["pointerSize"]
