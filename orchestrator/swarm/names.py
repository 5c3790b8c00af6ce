"""Names and addresses of this machine: which of those that others call are its own."""

from __future__ import annotations

import ipaddress

from orchestrator.net.own_addresses import is_own
from orchestrator.platform.host import host_name


def is_own_name(host: str) -> bool:
    """True for the name of this machine, in whatever domain."""
    return bool(host) and host.lower().partition(".")[0] == host_name().lower().partition(".")[0]


def is_own_address(host: str) -> bool:
    """True for an address of an interface of this machine. No name is looked up: who answers for a name may tell each
    who asks another address."""
    try:
        address = plain_address(host)
    except ValueError:
        return False
    return not address.is_multicast and is_own(str(address))


def plain_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; an IPv4 one also where it is written as IPv6. Raises ValueError for what is none."""
    found = ipaddress.ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found
