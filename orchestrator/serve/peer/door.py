"""The door for peers: who shows no ticket of the fleet learns nothing, not even what there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from orchestrator.serve.access.clients import ClientLimits, Clients, client_of
from orchestrator.serve.access.door import refuse_ambiguous
from orchestrator.serve.access.keyring import WrongTokens
from orchestrator.serve.access.rights import Caller
from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.peer.grammar import parse
from orchestrator.swarm.tickets import FleetKeys

_EACH = 128
"""Requests of one node at once."""


class PeerDoor:
    """Lets nodes of the fleet in, by the tickets that they show. For the thread of the event loop.

    By what name a node calls this server does not matter: a page that leads a browser here has no ticket. `now` is unix
    seconds.
    """

    def __init__(self, keys: FleetKeys, *, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now
        self._wrong = WrongTokens()
        self._clients = Clients(ClientLimits(_EACH))

    def admit(self, request: Request) -> Caller:
        """Tell the node that asks: a caller of its name, without a right to anything else. Raises Refused, in the same
        words for all who show no ticket."""
        refuse_ambiguous(request)
        asked = parse(request.raw_path)
        query = request.query_string.decode("latin-1")
        node = asked and self._keys.node_of(asked.subject, query, self._now())
        if not node:
            address = client_of(request.client)
            self._wrong.refuse(address)
            self._wrong.note(address)
            raise Refused(403, "")
        return Caller(node, client=f"node {node}")

    def within(self, caller: Caller) -> AbstractContextManager[Callable[[int], float]]:
        """The time of one request, within the limits of the node: see `Clients.asking`."""
        return self._clients.asking(caller.client)
