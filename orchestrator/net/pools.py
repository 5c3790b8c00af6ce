"""Kept connections: a pool for each way, with the certificates of a run, its name lookup and its proxies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool

from orchestrator.core.network.proxies import Proxy, parse_proxy
from orchestrator.net.addresses import split
from orchestrator.net.lookup.dns import Lookup, looking_up

_MOST_POOLS = 16
_Way = tuple[str, str, Proxy | None]
"""Scheme, host and port as the address has them, and the proxy: requests with an equal way share connections."""


@dataclass(frozen=True, slots=True)
class _Url:
    """All that the adapter of requests looks at in a request to find its pool."""

    url: str


class _Adapter(HTTPAdapter):
    """The pools of requests, with its certificates and proxies. Logs in at a proxy with UTF-8, as aria2 does; requests
    knows latin-1 only."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        known = parse_proxy(proxy)
        login = known and known.authorization
        return {"Proxy-Authorization": login} if login else {}


class Pools:
    """The connections of one user. Thread-safe.

    `ca_bundle` is a file (or folder, as OpenSSL has them) of certificates instead of the built-in ones. `lookup` finds
    the addresses of a host, instead of the system.
    """

    def __init__(self, ca_bundle: Path | None = None, lookup: Lookup | None = None) -> None:
        self._verify: str | bool = str(ca_bundle) if ca_bundle else True
        self._lookup = lookup
        self.reconnect()

    def reconnect(self) -> None:
        """Use no connection that is open now for another request: those under way go on, and the others are closed."""
        made = _Adapter(pool_connections=_MOST_POOLS, pool_maxsize=256)
        self._adapter = made if self._lookup is None else looking_up(made, self._lookup)
        self._known: dict[_Way, HTTPConnectionPool] = {}

    def of(self, url: str, proxy: Proxy | None) -> HTTPConnectionPool:
        """The kept connections of a way. Those that are forgotten here end with the last request that has them."""
        parts = split(url)
        way = parts.scheme, parts.netloc, proxy
        known = self._known.get(way)
        if known is None:
            named = {"http": proxy.url, "https": proxy.url} if proxy else {}
            found = self._adapter.get_connection_with_tls_context(cast(Any, _Url(url)), self._verify, proxies=named)
            known = cast(HTTPConnectionPool, found)
            if len(self._known) >= _MOST_POOLS:
                self._known.clear()
            self._known[way] = known
        return known

    def login_at(self, proxy: Proxy) -> dict[str, str]:
        """The headers that a request through this proxy carries for it."""
        return self._adapter.proxy_headers(proxy.url)

    def close(self) -> None:
        """Close the kept connections."""
        self._known.clear()
        self._adapter.close()
