"""Readers of settings that name a server by its web address; see `values`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.core.addresses import parse_address, refuse_odd_characters
from orchestrator.settings import values


def server(raw: object, base: Path) -> str:
    """The base address of a server, `http://` or `https://`."""
    address = parse_address(values.text(raw, base))
    return str(replace(address, path=address.path.rstrip("/")))


def tracking(raw: object, base: Path) -> str | None:
    """`server` as MLflow has it: what it also takes for a database or a folder names no server."""
    named = values.text(raw, base)
    if named.lower().startswith(("http://", "https://")):
        return server(raw, base)
    refuse_odd_characters(named)
    return None
