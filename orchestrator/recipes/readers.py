"""Reading what `--set` gives for a value of a template. What is refused raises ValueError with a message for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.addresses import Place, is_address_of_a_machine, parse_place
from orchestrator.core.network.resolvers import PORT, parse_server
from orchestrator.core.sources import parse_source
from orchestrator.errors import UsageError
from orchestrator.supervisor import HANDED

Read = Callable[[str], object]
# A line of a configuration, and a pattern of nginx, can hold these as they are.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.:\[\]_~/-]+")


@dataclass(frozen=True, slots=True)
class StreamServer:
    """A server of the stream proxy: `host:port`, and its share of the connections."""

    address: str
    weight: int = 1


def address(text: str) -> str:
    """An address without anything that means something to a shell, git, systemd or nginx. Raises UsageError."""
    url = parse_source(text).url
    if not _PLAIN_ADDRESS.fullmatch(url):
        raise UsageError(f"the address {text!r} holds characters that a configuration cannot hold")
    return url


def _matching(pattern: str, what: str) -> Read:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"is not {what}")
        return text

    return read


_PATH = r"(?:/|~/|%h/)[\w.@+/-]*"
path = _matching(_PATH, "an absolute path of letters, digits and ._@+-")
path_or_none = _matching(f"(?:{_PATH})?", "empty, or an absolute path of letters, digits and ._@+-")
size = _matching(r"[1-9]\d{0,6}[kmg]?", "a size such as 8m or 200g")
time = _matching(r"[1-9]\d{0,6}[smhd]", "a time such as 30s or 1m")
count = _matching(r"[1-9]\d{0,3}", "a number from 1 to 9999")


def listen(text: str) -> str:
    """An address to listen at, or `*`; IPv6 in brackets."""
    if text != "*":
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        if not is_address_of_a_machine(bare) and parse_place(text).port is not None:
            raise ValueError("is not an address to listen at; the port has its own value")
    return f"[{text}]" if ":" in text and not text.startswith("[") else text


_IN_HOME = r"%h/[A-Za-z0-9.@+/_-]+"


def systemd_word(text: str) -> str:
    """An absolute path as one quoted word of a unit: systemd.syntax(7) names what has a meaning in there."""
    if re.fullmatch(_IN_HOME, text):
        return text
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("is not an absolute path of printable characters")
    return _quoted(text)


def systemd_source(text: str) -> str:
    """A source of a desired state as one quoted word of a unit, or nothing."""
    if text and (text.startswith("-") or not text.isprintable()):
        raise ValueError("is not a source to follow")
    return text and _quoted(text)


def _quoted(text: str) -> str:
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(character, written)
    return f'"{text}"'


name = _matching(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", "a name of letters, digits, _ and -")
unit_scope = _matching("user|system", "user or system")
unit_log = _matching("none|lines|json", "none, lines or json")


def place(text: str) -> str:
    """`host:port`, IPv6 in brackets."""
    found = parse_place(text)
    if found.port is None:
        raise ValueError("is not host:port")
    return str(found)


def place_or_socket(text: str) -> str:
    """`host:port`, or the socket that a service manager opens."""
    return text if text == HANDED else place(text)


def place_or_none(text: str) -> str:
    """`host:port`, or nothing."""
    return text and place(text)


def place_list(text: str) -> str:
    """`host:port,…`"""
    return ",".join(place(one) for one in text.split(","))


def port(text: str) -> int:
    """A port, 1 to 65535."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError("is not a port")
    return int(text)


def _several(read_one: Callable[[str], str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        return [read_one(item) for item in re.split(r"[\s,]+", text.strip())]

    return read


def _resolver(text: str) -> str:
    """As nginx has it: an IPv6 address in brackets, with a port or without."""
    try:
        server = parse_server(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error
    return str(Place(server.address, None if server.port == PORT else server.port))


def _plain_resolver(text: str) -> str:
    if not is_address_of_a_machine(text):
        raise ValueError(f"{text!r} is not an IP address")
    return text


def local_server(text: str) -> str:
    """The `host:port` of one server."""
    (server,) = servers(text)
    return server.address


def host(text: str) -> str:
    """A host name, in lower case."""
    try:
        place = parse_place(text.lower())
    except ValueError as error:
        raise ValueError(f"{text!r} is not a host name") from error
    if place.port is not None or ":" in place.host:
        raise ValueError(f"{text!r} is not a host name")
    return place.host


resolvers = _several(_resolver)
plain_resolvers = _several(_plain_resolver)
hosts = _several(host)


def servers(text: str) -> list[StreamServer]:
    """`host:port` or `host:port=weight`, with spaces or commas between them."""
    found = []
    for item in re.split(r"[\s,]+", text.strip()):
        where, equals, weight = item.partition("=")
        place = parse_place(where)
        if place.port is None or (equals and not re.fullmatch(r"[1-9][0-9]{0,3}", weight)):
            raise ValueError(f"{item!r} is not host:port or host:port=weight")
        found.append(StreamServer(str(place), int(weight or 1)))
    return found
