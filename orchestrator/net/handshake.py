"""Times of the steps before the first request, and the HTTP versions of a server. Sends no request.

The server is shown ALPN with `h2` and `http/1.1` (RFC 7301) and picks one; requests of this package are HTTP/1.1, so
the connection is closed again.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import urllib3.exceptions as u3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from orchestrator.errors import SourcesDownError
from orchestrator.net.addresses import split
from orchestrator.net.failures import translate
from orchestrator.net.lookup.dns import system_lookup
from orchestrator.system.certificates import context_of

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Handshake:
    """Seconds for the name, the TCP connection and TLS (None for plain http), and what ALPN chose."""

    dns: float
    connect: float
    tls: float | None = None
    alpn: str | None = None


def shake_hands(
    url: str, timeout: float, certificates: str | bool, lookup: Callable[[str], tuple[str, ...]] | None = None
) -> Handshake:
    """Connect to the server of `url` and hang up. `certificates` is a bundle, True for the built-in one; `lookup` finds
    the addresses of a host, instead of the system.

    Looking up the name is not bounded by `timeout` (the system's resolver has its own). Raises SourcesDownError,
    TemporaryError, TrustError.
    """
    parts = split(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    begun = time.monotonic()
    try:
        found = (lookup or system_lookup)(host)
    except OSError as error:
        raise SourcesDownError(f"{host} is not a name that can be looked up", source=parts.netloc) from error
    named = time.monotonic()
    try:
        # The first address only: what a client would meet.
        with socket.create_connection((found[0], port), timeout) as line:
            connected = time.monotonic()
            if parts.scheme == "http":
                return Handshake(named - begun, connected - named)
            with _context(certificates).wrap_socket(line, server_hostname=host) as wrapped:
                done = time.monotonic()
                return Handshake(named - begun, connected - named, done - connected, wrapped.selected_alpn_protocol())
    except ssl.SSLCertVerificationError as error:
        raise translate(u3.SSLError(error), url) from error
    except (ConnectionRefusedError, TimeoutError) as error:
        raise SourcesDownError(f"{parts.netloc} does not accept a connection", source=parts.netloc) from error
    except OSError as error:
        raise translate(error, url) from error


def _context(certificates: str | bool) -> ssl.SSLContext:
    bundle = certificates if isinstance(certificates, str) else DEFAULT_CA_BUNDLE_PATH
    context = context_of(bundle)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
