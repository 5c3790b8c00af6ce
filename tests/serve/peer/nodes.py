"""A node that answers peers on loopback, and a peer that asks it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator.app.peers.peering import PeerEntrance, peering
from orchestrator.core.files import Digest
from orchestrator.events import Event
from orchestrator.serve.http.exchange import Exchange
from orchestrator.swarm.holdings import Holdings
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.wire import About

CANARY = "canary-of-a-fleet-0123456789"
KEYS = FleetKeys.parse(CANARY)
ME = About("node-0", 7, "rack-1")


@dataclass
class Seen:
    """Observes the answers of a node."""

    exchanges: list[Exchange] = field(default_factory=list)

    def began(self, exchange: Exchange) -> None:
        """See Observer."""

    def ended(self, exchange: Exchange) -> None:
        """See Observer."""
        self.exchanges.append(exchange)


@dataclass
class Answer:
    """The answer to a request; `is_whole`: all bytes came that its length promised."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True

    @property
    def value(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


@dataclass
class Node:
    """A node at a port; `seen` and `events` are what its operator gets to see."""

    port: int
    seen: Seen
    events: list[Event]

    @property
    def to(self) -> str:
        """Whom its tickets are for."""
        return f"127.0.0.1:{self.port}"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        keys: FleetKeys = KEYS,
        node: str = "node-1",
        subject: str | None = None,
        ticket: str | None = None,
        now: float | None = None,
        to: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for a path below `/peer/v1/`, with a ticket for it unless another one, or none (""), is given.

        `to` is who the ticket is for, if not this node.
        """
        name = path.partition("?")[0].removesuffix("/pieces")
        shown = keys.ticket(subject or name, node, now or time.time(), to or self.to) if ticket is None else ticket
        mark = "&" if "?" in path else "?"
        address = f"/peer/v1/{path}{mark}{shown}" if shown else f"/peer/v1/{path}"
        return self.get(address, method=method, body=body, headers=headers)

    def range(self, digest: Digest, asked: str, *, method: str = "GET") -> Answer:
        """Ask for a range of a blob."""
        return self.ask(str(digest), method=method, headers={"Range": asked} if asked else None)

    def get(
        self,
        address: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for any address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, address, body, dict(headers or {}))
            found = connection.getresponse()
            is_whole, data = True, b""
            try:
                data = found.read()
            except http.client.IncompleteRead as error:
                is_whole, data = False, error.partial
            except ConnectionError:
                is_whole = False
            return Answer(found.status, {name.lower(): text for name, text in found.getheaders()}, data, is_whole)
        finally:
            connection.close()


@contextmanager
def answering(
    holdings: Holdings, keys: FleetKeys = KEYS, *, uploads: int = 16, hosts: Sequence[str] = ()
) -> Iterator[Node]:
    """A node with these holdings, until the context ends."""
    seen, events = Seen(), list[Event]()
    entrance = PeerEntrance("127.0.0.1:0", uploads, hosts)
    with peering(holdings, ME, keys, entrance, events.append, observers=(seen,)) as address:
        yield Node(address.port, seen, events)
