"""Hints for who may not read a file at a source."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.sources import Source
from orchestrator.errors import GatedError, NotAllowedError
from orchestrator.net import hints
from orchestrator.oci.login import command


def access(source: Source, repo_path: str, *, had_token: bool) -> str:
    """The next thing to do to get access; `had_token` says whether the request carried the token."""
    if source.kind.names_site:
        return command(source.netloc)
    return hints.licence(source.url, repo_path, had_token=had_token)


def denied(headers: Mapping[str, str]) -> type[NotAllowedError]:
    """The kind of a refusal: a Hub says when it is for want of an accepted licence."""
    return GatedError if headers.get("X-Error-Code") == "GatedRepo" else NotAllowedError
