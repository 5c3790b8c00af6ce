"""The server of a node for its peers, on a port of its own, as long as something runs that has bytes to give."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.app.extras import server_libraries
from orchestrator.events import Emit
from orchestrator.swarm.holdings import Holdings
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.wire import About
from orchestrator.system.threads import passing_pool

if TYPE_CHECKING:
    from orchestrator.serve.http.exchange import Observer
    from orchestrator.serve.server import ListenAddress

LOOKING, READING = 4, 8
"""Threads that look for what is held, and those that read what is not in memory."""
_OF_ONE_ADDRESS = 256
"""Connections of one address: peers may share one."""


@dataclass(frozen=True, slots=True)
class PeerEntrance:
    """The way in for peers: where they connect (`HOST:PORT`, port 0 is a free one), and how many bodies with bytes they
    get at once. `hosts` are names and addresses by which they call this machine, beside its own."""

    listen: str = "0.0.0.0:0"
    uploads: int = 16
    hosts: Sequence[str] = ()


@contextlib.contextmanager
def peering(
    holdings: Holdings,
    me: About,
    keys: FleetKeys,
    entrance: PeerEntrance,
    emit: Emit,
    *,
    observers: Sequence[Observer] = (),
) -> Iterator[ListenAddress]:
    """Answer peers, and nobody else, until the context ends: at the address given, whose `url` is for others.

    In the end who waits for news is answered at once, and bodies have 3 s. Raises ConfigError without the libraries;
    UsageError, CannotCreateError for the address.
    """
    with server_libraries("fleet"):
        from orchestrator.serve.app import Application
        from orchestrator.serve.connections import ConnectionBounds
        from orchestrator.serve.http.proxies import TrustedProxies
        from orchestrator.serve.peer.door import PeerDoor
        from orchestrator.serve.peer.face import PeerFace
        from orchestrator.serve.server import ListenAddress, bound, most_connections, parse_listen, serving

    with contextlib.ExitStack() as stack:
        listener, _ = stack.enter_context(bound(parse_listen(entrance.listen)))
        host, port = listener.getsockname()[:2]
        looking, reading = (stack.enter_context(passing_pool(most, "peer")) for most in (LOOKING, READING))
        face = PeerFace(holdings, me, keys, uploads=entrance.uploads, looking=looking, reading=reading)
        application = Application(
            PeerDoor(keys, port, entrance.hosts), [face], observers, prefix="", proxies=TrustedProxies(), emit=emit
        )
        most = most_connections()
        bounds = ConnectionBounds(most, min(most, _OF_ONE_ADDRESS))
        stack.enter_context(serving(application, listener, lambda: None, bounds, None))
        stack.callback(face.close)
        yield ListenAddress(host, port, "http")
