"""The door for peers: who shows no ticket of the fleet learns nothing, not even what there is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.clients import ClientLimits, Clients, client_of
from orchestrator.serve.access.door import refuse_ambiguous
from orchestrator.serve.access.keyring import WrongTokens
from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.peer.grammar import parse
from orchestrator.swarm.names import is_own_name, plain_address
from orchestrator.swarm.tickets import FleetKeys

_EACH = 128
"""Requests of one node at once."""
_PORT = re.compile(r":(\d{1,5})$")


class PeerDoor:
    """Lets nodes of the fleet in, by the tickets that they show. For the thread of the event loop.

    A ticket says who is asked, and one for another node opens nothing: somebody may have it that only pretends to be a
    peer. This one is asked at its address and `port`, by the name of the machine, or by one of `hosts` (behind a
    network address translation), whatever the port. `now` is unix seconds.
    """

    def __init__(
        self, keys: FleetKeys, port: int, hosts: Iterable[str] = (), *, now: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._port = port
        self._hosts = frozenset(host.lower() for host in hosts)
        self._now = now
        self._wrong = WrongTokens()
        self._clients = Clients(ClientLimits(_EACH))

    def admit(self, request: Request) -> Caller:
        """Tell the node that asks: a caller of its name, without a right to anything else. Raises Refused, in the same
        words for all who show no ticket."""
        refuse_ambiguous(request)
        asked = parse(request.raw_path)
        query = request.query_string.decode("latin-1")
        called = request.headers.get("host", "").lower()
        node = asked and self._keys.node_of(asked.subject, query, self._now(), called)
        if not node or not self._is_ours(request, called):
            address = client_of(request.client)
            self._wrong.refuse(address)
            self._wrong.note(address)
            raise Refused(403, "")
        return Caller(node, client=f"node {node}")

    def within(self, caller: Caller) -> AbstractContextManager[Callable[[int], float]]:
        """The time of one request, within the limits of the node: see `Clients.asking`."""
        return self._clients.asking(caller.client)

    def _is_ours(self, request: Request, called: str) -> bool:
        """True when the name or address by which a request calls this node leads to no other."""
        host = request.host or ""
        if host in self._hosts:
            return True
        port = _PORT.search(called)
        default = 443 if request.link_base.startswith("https:") else 80
        is_here = host == "localhost" and plain_address(request.listener).is_loopback
        return (int(port[1]) if port else default) == self._port and (
            is_here or is_own_name(host) or _is_same(host, request.listener)
        )


def _is_same(host: str, listener: str) -> bool:
    try:
        return plain_address(host) == plain_address(listener)
    except ValueError:
        return False
