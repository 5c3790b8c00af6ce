"""Name servers as values: how they are written, what is remembered of them, in which order they are asked, and which
answers are not to be believed. No I/O.

Units: seconds, unix seconds for points in time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.core.addresses import Place, is_address_of_a_machine, parse_place
from orchestrator.core.exponential import decay

PORT = 53
# After this time a measurement counts half. Shorter than for sources: a resolver is on the way of this very line.
HALF_LIFE = 6 * 3_600.0
# What a failure costs in the order: as much as waiting for an answer that does not come.
FAILURE_SECONDS = 2.0
_UNKNOWN_SECONDS = 0.1
# Names that no public server knows (RFC 6761, RFC 6762, RFC 8375), and those that people use at home.
_PRIVATE_NAMES = ("localhost", "local", "internal", "lan", "home.arpa", "test", "invalid", "intranet", "corp", "home")


@dataclass(frozen=True, slots=True, order=True)
class NameServer:
    """A resolver by its IP address."""

    address: str
    port: int = PORT

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address and self.port != PORT else self.address
        return host if self.port == PORT else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Remembered quality of a resolver: seconds to an answer, and failures; old ones count less."""

    seconds: float | None = None
    failures: float = 0.0
    at: float = 0.0

    def after(self, seconds: float | None, now: float) -> Standing:
        """After an answer that took `seconds`, or after a failure (None)."""
        failures = self.failures_at(now)
        if seconds is None:
            return Standing(self.seconds, failures + 1, now)
        keep = decay(abs(now - self.at), HALF_LIFE) / 2 if self.at and self.seconds is not None else 0.0
        mean = keep * (self.seconds or 0.0) + (1 - keep) * seconds
        return Standing(mean, failures / 2, now)

    def failures_at(self, now: float) -> float:
        """Failures, as they weigh at `now`."""
        return self.failures * decay(now - self.at, HALF_LIFE)

    def expected(self, now: float) -> float:
        """Seconds that asking it is expected to cost; what is old moves towards what is unknown."""
        trust = decay(abs(now - self.at), HALF_LIFE) if self.at else 0.0
        seconds = _UNKNOWN_SECONDS if self.seconds is None else self.seconds
        return trust * seconds + (1 - trust) * _UNKNOWN_SECONDS + FAILURE_SECONDS * self.failures_at(now)


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of one resolver for one name: addresses (none: no such name), or an `error` in words."""

    server: NameServer | None
    name: str
    addresses: tuple[str, ...] = ()
    seconds: float | None = None
    error: str | None = None


def parse_server(text: str) -> NameServer:
    """`1.1.1.1`, `1.1.1.1:5353`, `2606:4700::1111` or `[2606:4700::1111]:53`. Raises ValueError."""
    text = text.strip()
    try:
        is_bare = is_address_of_a_machine(text)
        place = Place(text) if is_bare else parse_place(text)
        if not is_address_of_a_machine(place.host):
            raise ValueError("names a host")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a resolver; write its IP address, such as 1.1.1.1") from error
    return NameServer(str(ipaddress.ip_address(place.host)), PORT if place.port is None else place.port)


def ordered(
    servers: Iterable[NameServer], standings: Mapping[NameServer, Standing], now: float
) -> tuple[NameServer, ...]:
    """The resolver that is expected to answer first comes first; equal ones stay as the user wrote them."""
    blank = Standing()
    return tuple(sorted(servers, key=lambda server: round(standings.get(server, blank).expected(now), 3)))


def is_public_name(name: str) -> bool:
    """True when the name should lead to an address that the public Internet routes."""
    folded = name.lower().rstrip(".")
    ends = any(folded == end or folded.endswith("." + end) for end in _PRIVATE_NAMES)
    return "." in folded and not ends and not is_address_of_a_machine(folded)


def is_private_answer(name: str, addresses: Iterable[str]) -> bool:
    """True for a public name with an address that cannot be its own: a block page, a trap, or a company's own view."""
    return is_public_name(name) and any(not ipaddress.ip_address(item).is_global for item in addresses)


def odd_ones(replies: Iterable[Reply]) -> tuple[tuple[NameServer | None, str], ...]:
    """Resolvers whose answers are not to be believed, each with the reason in words.

    Different public addresses are no disagreement: CDNs answer by place. One that denies a name, or gives a private
    address, while another knows a public one, is odd.
    """
    found: list[tuple[NameServer | None, str]] = []
    by_name: dict[str, list[Reply]] = {}
    for reply in replies:
        if reply.error is None:
            by_name.setdefault(reply.name, []).append(reply)
    for name, said in by_name.items():
        for reply in said:
            if is_private_answer(name, reply.addresses):
                found.append((reply.server, f"answers {', '.join(reply.addresses)} for {name}, a public name"))
            elif is_public_name(name) and not reply.addresses and any(other.addresses for other in said):
                found.append((reply.server, f"says that {name} does not exist, which another resolver knows"))
    return tuple(found)


def merged(old: Mapping[NameServer, Standing], new: Mapping[NameServer, Standing]) -> dict[NameServer, Standing]:
    """Of two memories the newer entry of each resolver."""
    found = dict(old)
    for server, standing in new.items():
        if server not in found or standing.at >= found[server].at:
            found[server] = replace(standing)
    return found
