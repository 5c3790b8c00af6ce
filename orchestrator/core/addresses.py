"""The one grammar of addresses that people write: mirrors, roots, proxies, RPC endpoints, servers of templates.

An address goes on to other programs: aria2, git, nginx, a shell, a report. So it is narrower than RFC 3986 and holds
nothing that any of them takes for more than an address: no control character, white space, quote, brace, bracket
outside of an IPv6 address, semicolon, dollar sign, backslash or query. It is matched as a whole, since `urlsplit` drops
CR, LF and TAB from what it returns. What a server answers is read by `net.addresses`.

All raise ValueError with a message that does not quote the address: it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_LABEL = re.compile(r"(?![-])[A-Za-z0-9_-]{1,63}(?<![-])", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~@:+!=-]|%[0-9A-Fa-f]{2})*)*")
_CODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_NOT_IN_ANY = re.compile(r"[\x00-\x20\x7f-\xa0\"'`<>{}|\\^;$&()*,]|\s")
_LOOPBACK = re.compile(r"127(?:\.\d{1,3}){3}")
_LONGEST_HOST = 253
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Place:
    """A server. `host` is without brackets and in ASCII; None as the port means that the scheme's own is meant."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A web address without a login and a query. `path` is empty or begins with a slash."""

    scheme: str
    place: Place
    path: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}{self.path}"


def parse_address(text: str, schemes: tuple[str, ...] = ("http", "https")) -> Address:
    """Take an address apart that a person wrote."""
    refuse_odd_characters(text)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise ValueError(f"is not an address that begins with {' or '.join(f'{name}://' for name in schemes)}")
    authority, slash, path = rest.partition("/")
    if "@" in authority or "?" in rest or "#" in rest:
        raise ValueError("must not hold a password, a user name or a query")
    path = slash + path
    if not _PATH.fullmatch(path) or _CODED_CONTROL.search(path):
        raise ValueError("has a path with characters other than A-Z a-z 0-9 . _ ~ @ : + ! = - / and %20")
    return Address(scheme.lower(), parse_place(authority), path)


def parse_place(text: str) -> Place:
    """`host`, `host:port`, or the same with an IPv6 address in brackets. A name with other letters is punycoded."""
    refuse_odd_characters(text)
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("has an unclosed bracket, or something other than a port after it")
        return Place(_ipv6(host), _port(port[1:]) if port else None)
    host, colon, port = text.partition(":")
    return Place(_host(host), _port(port) if colon else None)


def is_address_of_a_machine(text: str) -> bool:
    """True for an IPv4 or IPv6 address in its usual form, without brackets, a port or a zone."""
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """True for addresses that never leave this machine."""
    return host in ("localhost", "::1") or bool(_LOOPBACK.fullmatch(host))


def refuse_odd_characters(text: str) -> None:
    """Refuse what no address holds, a login included."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    if odd := _NOT_IN_ANY.search(text):
        raise ValueError(f"holds characters that an address must not hold: {odd[0]!r}")


def _ipv6(text: str) -> str:
    if ":" not in text or not is_address_of_a_machine(text):
        raise ValueError("holds no IPv6 address between its brackets")
    return text.lower()


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise ValueError("names a port that does not exist; ports go from 1 to 65535")
    return int(text)


def _host(text: str) -> str:
    name = text if text.isascii() else _punycoded(text)
    labels = name.removesuffix(".").split(".")
    if len(name) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("names a host with characters other than A-Z a-z 0-9 . and -" if name else "names no host")
    return name


def _punycoded(text: str) -> str:
    """The name as DNS has it. One that the two generations of IDNA read differently is refused."""
    try:
        coded = text.encode("idna")
        if coded.decode("idna").casefold() == text.casefold() and "ß" not in text:
            return coded.decode("ascii")
    except UnicodeError:
        pass
    raise ValueError("names an ambiguous host; write it in its xn-- form")
