"""The news of a registry of models for a watch, composed from settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from orchestrator.app.compose import logins_of, open_lookup, proxies_of, state_of
from orchestrator.app.registry.news import RegistryNews
from orchestrator.app.registry.own_server import with_own_registry
from orchestrator.events import Emit
from orchestrator.net.session import Limits, Net
from orchestrator.oci.login import for_server, login_at
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop
from orchestrator.watch.news import NO_NEWS, MoveNews

_PATIENCE = Limits(deadline=20, attempts=1)


@contextlib.contextmanager
def listening(settings: Settings, stop: Stop, emit: Emit) -> Iterator[MoveNews]:
    """The news of the server that the settings name, if they do. It is asked once there is a ref to listen for."""
    settings = with_own_registry(settings, state_of(settings))
    url = settings.registry_url
    if url is None:
        yield NO_NEWS
        return
    login = login_at(logins_of(settings), url)
    with (
        open_lookup(settings, state_of(settings), keep=False) as lookup,
        Net(
            for_server(login, url),
            limits=_PATIENCE,
            proxies=proxies_of(settings),
            ca_bundle=settings.ca_bundle,
            lookup=lookup,
            sleep=stop.wait,
        ) as net,
        RegistryNews(url, net, emit) as news,
    ):
        yield news
