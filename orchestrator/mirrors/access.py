"""Hints for who may not read a file at a source."""

from __future__ import annotations

from orchestrator.core.sources import Source
from orchestrator.net import hints
from orchestrator.oci.login import command


def access(source: Source, repo_path: str, *, had_token: bool) -> str:
    """The next thing to do to get access; `had_token` says whether the request carried the token."""
    if source.kind.names_site:
        return command(source.netloc)
    return hints.licence(source.url, repo_path, had_token=had_token)
