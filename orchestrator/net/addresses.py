"""URLs as text: what may be shown of one, which hosts are internal, and where a redirect may lead.

No I/O: names are not looked up, so a public name that points at an internal address is not seen here.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from orchestrator.errors import ProtocolError, TrustError

MAX_REDIRECTS = 10
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What RFC 3986 leaves out of a URL, and the backslash, which parsers read in two ways.
_ODD = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")
# Headers are latin-1 to us; some servers put raw UTF-8 or spaces into Location.
_UNQUOTED = re.compile(r"[ \x80-\xff]")
_INTERNAL_NAMES = ("localhost", ".localhost", ".localdomain", ".local", ".internal", ".lan", ".home.arpa")
# IPv6 addresses whose last four bytes are an IPv4 address: compatible, translated, and those of NAT64 gateways.
_HOLDS_IPV4 = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
# Gateways of one's own (RFC 8215), and the site-local addresses of old, which Python takes for public ones.
_INTERNAL_NETWORKS = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10")))


def redact(url: str) -> str:
    """`url` as it may be shown: no user name or password, no fragment, and `?…` for a query (it may be a signature)."""
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(an address that cannot be read)"
    return urlunsplit((parts.scheme, netloc, parts.path, "", "")) + ("?…" if parts.query else "")


@lru_cache(maxsize=512)
def split(url: str) -> SplitResult:
    """Take a URL apart that is about to be requested; remembered, since several rules ask.

    Raises ProtocolError unless it is plain http(s) to a host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ProtocolError(f"{redact(url)!r} is not an address") from error
    if _ODD.search(url) or parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
        raise ProtocolError(f"{redact(url)!r} is not an http or https address")
    if "@" in parts.netloc:
        raise ProtocolError(f"{redact(url)!r} holds a user name or a password")
    return parts


def place(url: str) -> str:
    """`host:port` in lower case with the port always named: two URLs with an equal place go to the same server."""
    parts = split(url)
    return f"{(parts.hostname or '').lower()}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """True for this machine's own addresses and `localhost`."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_internal(host: str) -> bool:
    """True for addresses that the public Internet does not route, and names that mean such an address."""
    address = _address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_INTERNAL_NAMES)
    return any(not item.is_global or item.is_multicast or _is_in(_INTERNAL_NETWORKS, item) for item in _meant(address))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _meant(address: _Address) -> tuple[_Address, ...]:
    """The address, or the IPv4 address in it, to which a gateway would lead on."""
    if isinstance(address, ipaddress.IPv6Address):
        if _is_in(_HOLDS_IPV4, address) and int(address) > 1:
            return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
        if address.sixtofour:
            return (address.sixtofour,)
    return (address,)


def _is_in(networks: tuple[ipaddress.IPv6Network, ...], address: _Address) -> bool:
    return any(address in network for network in networks)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        try:  # the old forms, such as 127.1 and 0x7f000001, which the C library and so aria2 accept
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    return getattr(address, "ipv4_mapped", None) or address


def next_hop(url: str, location: str) -> str:
    """The target of a redirect from `url`.

    Raises TrustError when https would become http, ProtocolError for another scheme, for credentials in the address, or
    when a public site sends us to an internal address.
    """
    target = _UNQUOTED.sub(lambda found: f"%{ord(found[0]):02X}", location).partition("#")[0]
    if "://" not in target[:8]:  # an absolute address stays as it is, letter by letter: it may be signed
        target = urljoin(url, target)
    came, goes = split(url), split(target)
    if came.scheme == "https" and goes.scheme != "https":
        raise TrustError(
            f"{came.hostname} redirects from https to http ({redact(target)}); not followed",
            hint="do not trust this mirror, or the network on the way to it; name another one with --mirror",
            source=came.hostname,
        )
    if is_internal(goes.hostname or "") and not is_internal(came.hostname or ""):
        raise ProtocolError(
            f"{came.hostname} redirects to an internal address ({redact(target)}); not followed", source=came.hostname
        )
    return target
