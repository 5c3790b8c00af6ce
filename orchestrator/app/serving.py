"""`serve` and `run` composed from settings: the cache and the sources behind an HTTP server, until somebody stops it or
a command has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator import supervisor
from orchestrator.app.compose import known_state, runtime_of
from orchestrator.app.entrance import Entrance, asking, refuse_itself
from orchestrator.app.extras import server_libraries
from orchestrator.app.peers.keys import fleet_keys
from orchestrator.app.peers.this_node import Membership, this_node
from orchestrator.cache.identity import cache_id
from orchestrator.events import Emit, FleetNews, Notice
from orchestrator.serve.access.tokens import fresh_token
from orchestrator.servers import announced
from orchestrator.settings import Settings
from orchestrator.system.children import refuse_missing, run_command
from orchestrator.system.signals import Stop, stoppable

if TYPE_CHECKING:
    from orchestrator.app.house import House
    from orchestrator.app.registry.faces import RegistryFaces
    from orchestrator.serve.access.door import Door
    from orchestrator.serve.app import Face
    from orchestrator.serve.http.exchange import Observer
    from orchestrator.serve.pages.traffic import Traffic
    from orchestrator.serve.server import ListenAddress
    from orchestrator.swarm.tickets import FleetKeys
    from orchestrator.watch.watch import Read

_GLANCE = 1.0
"""Seconds between two looks whether a signal came."""

# hf ends with the files that it is waiting for, which may be large.
_RUNS_ON = Notice("command_runs_on", "the command runs on after Ctrl-C; a second one ends it, in 3 s at the latest")


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """The way in for clients; `on_ready` is told the address for them, and the `HOST:PORT` for those of gRPC, if there
    is one. `follow` is a list of models to keep, and its reader."""

    entrance: Entrance
    on_ready: Callable[[str, str | None], None]
    follow: tuple[Path, Read] | None = None


class Served(NamedTuple):
    """The address that was served, how many requests came there, and the bytes of their answers' bodies: those for
    clients, and those for other nodes of the fleet."""

    url: str
    requests: int
    sent: int
    sent_to_peers: int


def serve(settings: Settings, request: ServeRequest, stop: Stop, emit: Emit) -> Served:
    """Serve until `stop`. Raises ConfigError without the libraries; UsageError, CannotCreateError for the address."""
    entrance = replace(request.entrance, own_token=fresh_token())
    with contextlib.ExitStack() as stack:
        keys = fleet_keys(settings)
        address, traffic, rpc, _ = stack.enter_context(_served(asking(settings), entrance, stop, emit, keys))
        here, runtime = entrance.url(address), runtime_of(settings)
        near, has_registry = entrance.near(address, settings.serve_hosts), settings.serve_registry is not None
        server = stack.enter_context(
            announced(runtime, here, settings.cache_dir, entrance.own_token, near=near, has_registry=has_registry)
        )
        stop.is_abrupt = False
        if request.follow is not None:
            from orchestrator.app.following import following

            stack.enter_context(following(*request.follow, server, settings, emit))
        url = entrance.url(address, settings.serve_hosts)
        request.on_ready(url, rpc)
        if keys is not None:
            emit(FleetNews("sharing", f"gives the machines of its fleet what it has, at {url}"))
        supervisor.tell("READY=1", patience=supervisor.PATIENCE)
        # A signal that the system hands to another thread does not end a wait of this one, and is seen after it.
        while not stop.wait(_GLANCE):
            pass
        supervisor.tell("STOPPING=1", patience=supervisor.PATIENCE)
    return Served(url, traffic.requests, traffic.sent, traffic.sent_to_peers)


def run(settings: Settings, words: Sequence[str], emit: Emit) -> int:
    """Run a command of the user's behind a server that it alone can find; its exit code. For the main thread.

    Raises what `serve` does, and CommandError when the command cannot be started.
    """
    refuse_missing(words[0])
    entrance = Entrance("127.0.0.1:0", f"/{secrets.token_urlsafe(24)}")
    with (
        stoppable() as stop,
        _served(settings, entrance, stop, emit) as (address, _, _, keeper),
    ):
        url = entrance.url(address)
        # If we are killed the command goes on asking there, with the user's token: nobody else may get the port.
        environment = behind(url, settings.cache_dir, os.environ)
        return run_command(words, environment, kept=[keeper.fileno()], on_patience=lambda: emit(_RUNS_ON))


def behind(url: str, cache_dir: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for programs that shall ask the server at `url`, and read and fill this cache."""
    changed = {
        **environment,
        "HF_ENDPOINT": url,
        "MODELSCOPE_ENDPOINT": url,
        "HF_HUB_CACHE": str(cache_dir),
        "HF_HUB_DISABLE_XET": "1",
    }
    if any(environment.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        past = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        changed["no_proxy"] = changed["NO_PROXY"] = ",".join(filter(None, (past, "127.0.0.1")))
    return changed


class _Open(NamedTuple):
    """The place of a server, what is asked there, where its registry answers by gRPC (`HOST:PORT`), and a socket that
    keeps its port."""

    address: ListenAddress
    traffic: Traffic
    rpc: str | None
    keeper: socket.socket


@contextlib.contextmanager
def _served(
    settings: Settings, entrance: Entrance, stop: Stop, emit: Emit, keys: FleetKeys | None = None
) -> Iterator[_Open]:
    """A server. Nobody commands one that is for the programs of its user alone. With `keys` it gives to the other nodes
    of a fleet what it has and what it fetches."""
    with server_libraries():
        from orchestrator.app.house import open_house
        from orchestrator.app.registry.faces import registry_faces, rpc_place
        from orchestrator.serve.app import Application
        from orchestrator.serve.connections import ConnectionBounds
        from orchestrator.serve.http.proxies import TrustedProxies
        from orchestrator.serve.hub.face import HubFace
        from orchestrator.serve.modelscope.face import ModelScopeFace
        from orchestrator.serve.pages.access_log import AccessLog
        from orchestrator.serve.peer.door import PeerDoor
        from orchestrator.serve.server import ListenAddress, listening_at, most_connections, serving

    with contextlib.ExitStack() as stack:
        listener, keeper = stack.enter_context(listening_at(entrance.listen))
        certificate = entrance.certified(emit)
        host, port = listener.getsockname()[:2]
        address = ListenAddress(host, port, "https" if certificate else "http")
        refuse_itself(settings, address)
        is_own, prefix = entrance.is_own, entrance.prefix
        rpc_at = None if is_own else rpc_place(settings, entrance.certificate, entrance.key)
        membership = _membership(settings, port, keys) if keys is not None else None
        house = stack.enter_context(open_house(settings, stop, emit, is_own=is_own, membership=membership))
        door = entrance.door(settings, address, house, emit)
        faces: list[Face] = [
            ModelScopeFace(house.inquiries, house.delivery),
            HubFace(house.inquiries, house.delivery, prefix=prefix),
        ]
        traffic = house.board.traffic
        observers: list[Observer] = [traffic] if is_own else [traffic, house.foresight.sessions]
        beside, doors, registry = None, {}, None
        if house.peers is not None and keys is not None:
            faces = [house.peers, *faces]
            doors = {house.peers.name: PeerDoor(keys, port, (*settings.serve_hosts, *settings.fleet_hosts))}
        if house.facade is not None:
            of_registry = registry_faces(house.facade, door, rpc_at, is_over=stop.is_set, emit=house.emit)
            registry = stack.enter_context(of_registry)
            faces = [registry.rest, *faces]
        if not is_own:
            faces = [*_beside_clients(house, door, prefix, stop, registry), *faces]
            beside = partial(_beside, house)
            if settings.serve_access_log is not None:
                observers.append(stack.enter_context(AccessLog(settings.serve_access_log, house.emit)))
        proxies = TrustedProxies(settings.serve_proxies)
        application = Application(door, faces, observers, doors=doors, prefix=prefix, proxies=proxies, emit=house.emit)
        most = most_connections()
        bounds = ConnectionBounds(most, most if is_own else settings.serve_client_connections, proxies=proxies)
        release = house.delivery.close
        loop = stack.enter_context(serving(application, listener, release, bounds, certificate, beside=beside))
        rpc = stack.enter_context(registry.speaking(loop, observers)) if registry else None
        if house.peers is not None:
            stack.callback(house.peers.close)
        yield _Open(address, traffic, rpc, keeper)


async def _beside(house: House) -> None:
    """Do what a server does beside answering."""
    from orchestrator.serve.pages.pulse import beat

    await asyncio.gather(beat(house.board), house.foresight.run())


def _membership(settings: Settings, port: int, keys: FleetKeys) -> Membership:
    cache = cache_id(known_state(settings, create=True))
    return Membership(this_node(settings.cache_dir, port, cache=cache), keys)


def _beside_clients(house: House, door: Door, prefix: str, stop: Stop, registry: RegistryFaces | None) -> list[Face]:
    """The faces for who runs a server: its commands, and what it shows, of its registry, too."""
    with server_libraries():
        from orchestrator.serve.access.sessions import Sessions
        from orchestrator.serve.admin.face import AdminFace
        from orchestrator.serve.pages.face import PagesFace
        from orchestrator.serve.pages.layout import PageLayout

    sessions, layout = Sessions(door.identify), PageLayout(prefix, has_registry=registry is not None)
    admin = AdminFace(gets=house.commands.gets, posts=house.commands.posts)
    pages = PagesFace(house.board, sessions, layout, is_over=stop.is_set)
    # The addresses of the registry's pages are below that of the others.
    return [*([registry.pages(sessions, layout)] if registry else []), admin, pages]
