"""The registry of models that is asked: the one that the settings name, or that of a server which its user runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.app.commanding import server_at
from orchestrator.app.compose import logins_of
from orchestrator.disk.private import runtime_folders
from orchestrator.oci.login import login_at
from orchestrator.servers import RunningServer, running_servers
from orchestrator.settings import Settings
from orchestrator.settings.values import Secret


def with_own_registry(settings: Settings, state_dir: Path) -> Settings:
    """The settings of a run that may ask a registry of models.

    Where they name none, it is the only server of this user that has one, those on this cache first. At a server of
    theirs, users need neither a login nor a token.
    """
    running = running_servers(runtime_folders(lambda: state_dir))
    if settings.registry_url is None:
        mine = _only(settings, [server for server in running if server.has_registry])
    elif login_at(logins_of(settings), settings.registry_url) is not None:
        return settings
    else:
        mine = server_at(settings.registry_url, running)
    # By the name that it has in the certificate, and for the registry whose tokens it issues.
    return replace(settings, registry_url=mine.near, registry_token=Secret(mine.token)) if mine else settings


def _only(settings: Settings, running: Sequence[RunningServer]) -> RunningServer | None:
    found = [server for server in running if server.cache_dir == settings.cache_dir] or running
    return found[0] if len(found) == 1 else None
