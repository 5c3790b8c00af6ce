"""Openness of repos to the members of a fleet: by the listings of this cache, or by a word of the fleet.

Who pulls by the lock of a fleet lists nothing by itself: it knows by the sealed word of the member who did whether the
models are open. That word is kept under the key of the fleet, for members alone: it makes no listing, is no reason to
trust a digest, and opens nothing to the clients of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from orchestrator.cache.records import Records
from orchestrator.core.refs import RepoId
from orchestrator.errors import GlmAriaError
from orchestrator.swarm.tickets import FleetKeys

_OPEN = "open"
"""The kind of the seal."""


def keep_word(records: Records, keys: FleetKeys, repos: Iterable[RepoId], *, is_restricted: bool) -> None:
    """Keep what a member said of these repos. One of several that are said to be closed may be the only one: then
    nothing is known of any. Where it cannot be kept, they are shared as long as this process runs."""
    for repo in repos:
        with suppress(GlmAriaError):
            records.keep_seal(repo, None if is_restricted else keys.seal(_OPEN, repo.folder.encode()))


def open_to(records: Records, keys: FleetKeys) -> Callable[[str], bool]:
    """The test of a folder of a repo: may members with one of these keys have its blobs?"""
    return lambda folder: records.is_open_for(folder, lambda seal: keys.is_seal(_OPEN, folder.encode(), seal))
