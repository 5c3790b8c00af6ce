"""Host names looked up at resolvers of the user's choice, for this package's own connections.

`Resolver` asks the best one first and goes on to the next where it is silent, fails or gives a private address for a
public name; the order changes with every answer, so a resolver that dies in the middle of a run is asked last from then
on. A name that none of them knows is left to the system: /etc/hosts and a company's own names go on working. Only names
that lead somewhere are kept, for their time to live. dnspython speaks the protocol (RFC 1035), loaded on first use.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from orchestrator.core.network.resolvers import NameServer, Reply, Standing, is_private_answer, ordered
from orchestrator.system.threads import try_start

Lookup = Callable[[str], tuple[str, ...]]

_PATIENCE = 1.5
_LEAST_TTL, _MOST_TTL = 10.0, 600.0


class Resolver:
    """Looks names up at `servers`. Thread-safe.

    `standings` is what earlier runs learned; `learned` what is known now. `clock` is monotonic, `now` unix seconds.
    """

    def __init__(
        self,
        servers: Sequence[NameServer],
        standings: Mapping[NameServer, Standing] | None = None,
        *,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._servers = tuple(servers)
        self._standings = {server: (standings or {}).get(server, Standing()) for server in self._servers}
        self._patience, self._clock, self._now = patience, clock, now
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    @property
    def order(self) -> tuple[NameServer, ...]:
        """The resolvers as they would be asked now."""
        with self._lock:
            return ordered(self._servers, self._standings, self._now())

    @property
    def learned(self) -> Mapping[NameServer, Standing]:
        """The measurements, by resolver."""
        with self._lock:
            return dict(self._standings)

    def lookup(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, at least one. Raises OSError (socket.gaierror) when nobody knows it."""
        if is_local(host):
            return system_lookup(host)
        with self._lock:
            until, addresses = self._known.get(host, (0.0, ()))
        if self._clock() < until:
            return addresses
        suspect: tuple[str, ...] = ()
        for server in self.order:
            reply, ttl = ask(server, host, self._patience)
            is_odd = is_private_answer(host, reply.addresses)
            with self._lock:
                seconds = None if reply.error or is_odd else reply.seconds
                self._standings[server] = self._standings[server].after(seconds, self._now())
            if reply.addresses and not is_odd:
                with self._lock:
                    self._known[host] = (self._clock() + ttl, reply.addresses)
                return reply.addresses
            suspect = suspect or (reply.addresses if is_odd else ())
        # Where all of them agree on a private address, it is the network's own view of the name.
        return suspect or system_lookup(host)


def is_local(host: str) -> bool:
    """True for what needs no resolver: addresses, and names of one word such as `localhost`."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return "." not in host.rstrip(".")
    return True


def system_lookup(host: str) -> tuple[str, ...]:
    """The answer of the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))


def ask(server: NameServer, host: str, patience: float = _PATIENCE) -> tuple[Reply, float]:
    """Ask one resolver for the addresses of a host, v4 and v6 at once; also for how long the answer may be kept.

    `patience` bounds the whole, in seconds. Never raises: what went wrong stands in the reply.
    """
    answers: dict[str, tuple[tuple[str, ...], float] | str] = {}

    def one(kind: str) -> None:
        answers[kind] = _query(server, host, kind, patience)

    begun = time.monotonic()
    started = []
    for kind in ("A", "AAAA"):
        thread = threading.Thread(target=one, args=(kind,), daemon=True)
        if try_start(thread):
            started.append(thread)
        else:
            one(kind)
    for thread in started:
        thread.join(patience + 0.5)
    seconds = time.monotonic() - begun
    good = [found for kind in ("A", "AAAA") if not isinstance(found := answers.get(kind, "no answer"), str)]
    if not good:
        words = next((found for found in answers.values() if isinstance(found, str)), "no answer")
        return Reply(server, host, error=words), _LEAST_TTL
    addresses = tuple(address for found, _ in good for address in found)
    ttl = min((ttl for found, ttl in good if found), default=_LEAST_TTL)
    return Reply(server, host, addresses, seconds), min(max(ttl, _LEAST_TTL), _MOST_TTL)


def ask_system(host: str) -> Reply:
    """The same of the system's resolver, whose patience is its own."""
    begun = time.monotonic()
    try:
        found = system_lookup(host)
    except OSError as error:
        return Reply(None, host, error=error.strerror or "no answer", seconds=time.monotonic() - begun)
    return Reply(None, host, found, time.monotonic() - begun)


def system_servers() -> tuple[NameServer, ...]:
    """The resolvers that /etc/resolv.conf names."""
    import dns.resolver

    try:
        named = dns.resolver.Resolver().nameservers
    except Exception:  # noqa: BLE001 - a file in any state; without it there are none
        return ()
    return tuple(NameServer(str(address)) for address in named if isinstance(address, str) and is_local(address))


def _query(server: NameServer, host: str, kind: str, patience: float) -> tuple[tuple[str, ...], float] | str:
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode

    try:
        query = dns.message.make_query(host, kind)
        answer, _ = dns.query.udp_with_fallback(query, server.address, timeout=patience, port=server.port)
    except dns.exception.Timeout:
        return f"no answer within {patience:g} s"
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return dns.rcode.to_text(answer.rcode())
    sets = [found for found in answer.answer if dns.rdatatype.to_text(found.rdtype) == kind]
    addresses = tuple(item.address for found in sets for item in found)
    return addresses, float(min((found.ttl for found in sets), default=0))


# -- connections -------------------------------------------------------------------------------------------------------


def looking_up(made: HTTPAdapter, lookup: Lookup) -> HTTPAdapter:
    """The adapter of requests, whose direct connections look names up with `lookup` from now on.

    SNI and the certificate's name stay those of the host; connections through a proxy are the proxy's affair.
    """

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, lookup)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, lookup)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    made.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return made


def _connect(connection: HTTPConnection, lookup: Lookup) -> socket.socket:
    """As urllib3 does it, address by address; its exceptions, so that the table of failures holds."""
    host = connection._dns_host
    try:
        addresses = lookup(host)
    except OSError as error:
        raise NameResolutionError(host, connection, error) from error  # type: ignore[arg-type]
    failure: OSError | None = None
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port or 0),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"{host} did not accept a connection in time") from failure
    raise NewConnectionError(connection, f"no connection to {host}: {failure}") from failure
