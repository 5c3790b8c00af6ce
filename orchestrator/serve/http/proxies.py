"""Proxies that tell for whom they ask."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The proxies that are believed when they tell for whom they ask, by address or network."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def __contains__(self, address: object) -> bool:
        try:
            found = ipaddress.ip_address(str(address))
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((mapped or found) in network for network in self._networks)

    def client(self, peer: str, forwarded: str) -> str:
        """The address of a client: that of the `peer`, or where this is a proxy, the last of the X-Forwarded-For header
        that is none. What stands before that was written by anybody."""
        at = peer
        for hop in reversed(forwarded.split(",")):
            if at not in self or not _is_address(hop.strip()):
                break
            at = hop.strip()
        return at


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
