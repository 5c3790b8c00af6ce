"""Addresses of this machine: whether a name leads here, and by which one others reach it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

_FAR = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that stand for "somewhere else" (RFC 5737 and 3849)."""


def addresses_of(host: str) -> frozenset[str]:
    """The addresses of a host, none for one that nobody knows."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(entry[4][0]).partition("%")[0] for entry in found)


def is_own(address: str) -> bool:
    """True when what is sent to this address stays on this machine."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return not ipaddress.ip_address(address).is_unspecified


def outward(family: socket.AddressFamily) -> str | None:
    """The address by which this machine goes to others, None without a way there. Sends nothing."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_FAR[family], 9))
        return str(probe.getsockname()[0])
    return None
