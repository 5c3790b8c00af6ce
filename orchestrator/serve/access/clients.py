"""Clients by name, and what each of them may have at once. For the thread of the event loop."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.serve.http.refusals import busy

_MOST_KNOWN = 10_000
"""Clients that are remembered while they do nothing."""


@lru_cache(4096)
def client_of(address: str) -> str:
    """The name under which an address counts; in IPv6 a machine has a whole /64 of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits of one client: requests at once, and bytes a second."""

    requests: int
    speed: int | None = None


@dataclass(slots=True)
class _Client:
    """The requests of a client that are being answered, and when the bytes that it had are paid off."""

    requests: int = 0
    paid: float = 0.0


class Clients:
    """Holds each client to its limits. A client without a name is the house itself, and has none."""

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._known: OrderedDict[str, _Client] = OrderedDict()

    @contextmanager
    def asking(self, name: str) -> Iterator[Callable[[int], float]]:
        """The time of one request: a call that tells how many seconds to wait after so many bytes were sent.

        Raises Refused when the client has as many requests as it may.
        """
        if not name:
            yield lambda _: 0.0
            return
        client = self._known.setdefault(name, _Client())
        self._known.move_to_end(name)
        if client.requests >= self._limits.requests:
            raise busy(f"{name} has {client.requests} requests that are not answered yet", 1)
        client.requests += 1
        try:
            yield lambda count: self._wait(client, count)
        finally:
            client.requests -= 1
            self._forget()

    def _wait(self, client: _Client, count: int) -> float:
        if self._limits.speed is None:
            return 0.0
        now = asyncio.get_running_loop().time()
        client.paid = max(client.paid, now) + count / self._limits.speed
        return client.paid - now

    def _forget(self) -> None:
        while len(self._known) > _MOST_KNOWN:
            name, client = self._known.popitem(last=False)
            if client.requests:
                self._known[name] = client
                return
