"""Readers of settings that name a server by its web address; see `values`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from orchestrator.core.addresses import parse_address, refuse_odd_characters
from orchestrator.settings import values

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*|\*")


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


def namespaces(raw: object, _base: Path) -> frozenset[str]:
    """Namespaces, or `*`: a list, or a text with spaces or commas between them."""
    names = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAMESPACE.fullmatch(name) for name in names):
        raise ValueError("must be a list of namespaces, such as Qwen, or *")
    return frozenset(name.lower() for name in names)


def groups(raw: object, _base: Path) -> tuple[str, ...]:
    """`GROUP=ROLE` or `GROUP=ROLE:NAMESPACE`s: a list, or a text with commas between them."""
    names = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) and "=" in name for name in names):
        raise ValueError("must be a list of groups and their roles, such as ml-team=publisher:team")
    return tuple(name.strip() for name in names)
