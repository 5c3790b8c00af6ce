"""Who may hear of a repo that is closed: its name, its commit and its files are told to nobody else.

A mirror cannot help with a private repo, and for a gated one it would have to be given the token. So those are asked
that listed the repo, and those that the user named in `token_hosts`; that is the way to ask a mirror on purpose.
"""

from __future__ import annotations

from orchestrator.core.refs import CatalogKind, Ref
from orchestrator.core.sources import Source
from orchestrator.pull.tools import Tools


def may_hear(source: Source, kind: CatalogKind, tools: Tools, *, is_restricted: bool) -> bool:
    """True when `source` may be asked for a repo of the catalogs of `kind` that is, or is not, gated or private."""
    if not is_restricted:
        return True
    return source.kind is kind and (source == tools.catalogs[kind].source or tools.net.credentials.names(source.url))


def is_known_restricted(ref: Ref, tools: Tools) -> bool:
    """True when a run before this one was told that the repo is closed. What nobody listed here counts as open."""
    commit = ref.revision if ref.is_commit else tools.records.last_seen(ref.repo, ref.revision)
    record = tools.records.load(ref.repo, commit) if commit else None
    return record is not None and record.is_restricted
