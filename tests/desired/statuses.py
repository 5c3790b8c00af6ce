"""A status as a node tells it."""

from __future__ import annotations

from typing import Any

from orchestrator.desired.sets import SCHEMA


def status() -> dict[str, Any]:
    """A status as a node tells it."""
    none = dict.fromkeys(("reason", "digest", "current", "path", "expires"))
    counts = dict.fromkeys(
        ("generation", "observed_generation", "bytes_to_go", "drift", "flips", "since", "updated"), 1
    )
    source = {"source": "x", "revision": None, "state": "fresh", "error": None, "looked": 1.5, "next": None}
    model = {"name": "a", "ref": "a", "commit": None, "phase": "ready", "reason": None, "since": 1}
    model |= {"bytes": 1, "bytes_to_go": 0}
    told = {"schema": SCHEMA, "set": "site", "node": "n", "version": "1", "labels": {"zone": "x"}, "phase": "ready"}
    return {**told, **none, **counts, "sources": [source], "models": [model]}
