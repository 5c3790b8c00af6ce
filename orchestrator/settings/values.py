"""Readers of settings: from a flag, a variable or a key of a file, as text or as a TOML value.

A reader takes the raw value and the folder that a relative path is relative to, and raises ValueError with a message
for people; `layers` adds where the value stands.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.addresses import (
    Place,
    is_address_of_a_machine,
    parse_address,
    parse_place,
)
from orchestrator.core.network.proxies import is_exemption, parse_proxy
from orchestrator.core.network.resolvers import NameServer, parse_server
from orchestrator.core.trust import Policy
from orchestrator.disk.places import expanded
from orchestrator.errors import UsageError
from orchestrator.system.small_files import RECORD_BYTES, read_small

Reader = Callable[[object, Path], object]

_VARIABLE = re.compile(r"\$(\w+|\{\w+\})", re.ASCII)
_TRUE, _FALSE = {"1", "on", "yes", "true"}, {"0", "off", "no", "false"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{2,45}")
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REDIS = ("redis", "rediss", "unix")


SCHEDULER_PORT = 8091
"""Where a scheduler of a fleet listens unless told otherwise."""


class Secret(str):
    """A text that shows as `***` in a repr, and so in tracebacks and logs of whole objects."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def text(raw: object, _base: Path) -> str:
    """A text that is not empty."""
    if not isinstance(raw, str):
        raise ValueError(f"must be a text, not {raw!r}")  # noqa: TRY004 - ValueError is the readers' one way to say no
    if not raw.strip():
        raise ValueError("must not be empty")
    return raw.strip()


PEER_PORT = 8092
"""The port where a node listens for its peers, when nothing else is said."""

STDOUT = Path("-")
"""What stands for stdout in the place of a file."""


def log(raw: object, base: Path) -> Path:
    """A file as `path` reads it, or STDOUT."""
    return STDOUT if raw in ("-", STDOUT) else path(raw, base)


def path(raw: object, base: Path) -> Path:
    """A path; `~` and `$NAME` are expanded as huggingface_hub does, since its variables mean the same here."""
    if isinstance(raw, Path):
        raw = str(raw)
    written = text(raw, base)
    if "\0" in written:
        raise ValueError("holds a null character")
    try:
        home = expanded(written)
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}") from error
    found = base / os.path.expandvars(home)
    if not found.is_absolute():
        raise ValueError(f"{str(found)!r} is relative, and the working directory is gone; give the whole path")
    return found


def refuse_unset(raw: object) -> None:
    """Refuse a path with a variable that is not set. huggingface_hub leaves it as it is, in its own variables."""
    for name in _VARIABLE.findall(raw) if isinstance(raw, str) else ():
        if name.strip("{}") not in os.environ:
            raise ValueError(f"${name} is not set")


def whole(lowest: int, highest: int) -> Reader:
    """A whole number within bounds."""

    def read(raw: object, _base: Path) -> int:
        number = int(raw) if isinstance(raw, str) and raw.strip().isdecimal() else raw
        if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}, not {raw!r}")
        return number

    return read


def seconds(raw: object, _base: Path) -> float:
    """A time in seconds, more than zero, at most a day."""
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 < number <= 86400:
        raise ValueError(f"must be a number of seconds, not {raw!r}")
    return number


def policy(raw: object, base: Path) -> Policy:
    """The trust policy."""
    word = text(raw, base).lower()
    if word not in tuple(Policy):
        raise ValueError(f"must be one of {', '.join(sorted(Policy))}, not {raw!r}")
    return Policy(word)


def one_of(*words: str) -> Reader:
    """One of these words."""

    def read(raw: object, base: Path) -> str:
        word = text(raw, base).lower()
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {raw!r}")
        return word

    return read


def switch(raw: object, _base: Path) -> bool:
    """A yes or no. What is neither is refused: a setting like `offline` must not be guessed."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"must be 1 or 0, not {raw!r}")
    return word in _TRUE


def hosts(raw: object, _base: Path) -> frozenset[str]:
    """`host` or `host:port`s: a list, or a text with spaces or commas between them."""
    names = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a list of host names")
    folded = frozenset(name.lower() for name in names)
    for name in folded:
        try:
            parse_place(name)
        except ValueError as error:
            raise ValueError(f"{name!r} is not a host name; write host or host:port, without https://") from error
    return folded


def resolvers(raw: object, _base: Path) -> tuple[NameServer, ...]:
    """IP addresses of resolvers, each with a port or without: a list, or a text with spaces or commas between them."""
    names = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a list of IP addresses")
    return () if names == ["none"] else tuple(dict.fromkeys(parse_server(name) for name in names))


def addresses(raw: object, _base: Path) -> tuple[str, ...]:
    """`[KIND+]URL`s: a list, or a text with spaces or commas between them; `none` for an empty list."""
    if isinstance(raw, str):
        return () if raw.strip().lower() == "none" else tuple(raw.replace(",", " ").split())
    if isinstance(raw, tuple | list) and all(isinstance(item, str) for item in raw):
        return tuple(raw)
    raise ValueError("must be a list of addresses")


def rpc(raw: object, _base: Path) -> str | None:
    """Address of an aria2 RPC endpoint, `http://host:port/jsonrpc`; empty or `none` means a daemon of our own."""
    address = text(raw, _base)
    if address.lower() == "none":
        return None
    try:
        return str(parse_address(address))
    except ValueError as error:
        hint = "; an address such as http://127.0.0.1:6800/jsonrpc. The secret belongs in a file, see --rpc-secret-file"
        raise ValueError(f"{error}{hint}") from error


def proxy(raw: object, base: Path) -> str:
    """Address of an HTTP proxy, or `none`; a Secret where it holds a login."""
    address = text(raw, base)
    found = parse_proxy(address)
    return Secret(address) if found and found.authorization else address


def places(raw: object, _base: Path) -> tuple[str, ...]:
    """Hosts, networks and `*` as NO_PROXY has them: a list, or a text with spaces or commas between them."""
    names = _entries(raw)
    for name in names:
        if not is_exemption(name):
            raise ValueError(f"{name!r} is neither a host name nor a network")
    return names


def shared_places(raw: object, _base: Path) -> tuple[str, ...]:
    """The same from a variable that other programs read, too, in ways of their own: what means nothing is left out."""
    return tuple(name for name in _entries(raw) if is_exemption(name))


def machines(raw: object, _base: Path) -> tuple[str, ...]:
    """Names or addresses of machines, without ports: a list, or a text with spaces or commas between them."""
    found = _entries(raw)
    for name in found:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a machine; write it without https:// and without a port")
    return found


def networks(raw: object, _base: Path) -> tuple[str, ...]:
    """IP addresses and networks: a list, or a text with spaces or commas between them."""
    found = _entries(raw)
    for name in found:
        try:
            ipaddress.ip_network(name, strict=False)
        except ValueError as error:
            raise ValueError(f"{name!r} is neither an IP address nor a network such as 10.0.0.0/8") from error
    return found


def _entries(raw: object) -> tuple[str, ...]:
    names = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("must be a list of host names and networks")
    return tuple(name.strip() for name in names)


def peers(raw: object, _base: Path) -> tuple[str, ...]:
    """`HOST:PORT`s, or `HOST`s with the usual port of peers: a list, or a text with spaces or commas between them."""
    return _with_ports(raw, PEER_PORT)


def schedulers(raw: object, _base: Path) -> tuple[str, ...]:
    """`HOST:PORT`s, or `HOST`s with the usual port of schedulers: as `peers`."""
    return _with_ports(raw, SCHEDULER_PORT)


def _with_ports(raw: object, port: int) -> tuple[str, ...]:
    found = []
    for name in _entries(raw):
        try:
            place = parse_place(name)
        except ValueError as error:
            raise ValueError(f"{name!r} {error}; write HOST or HOST:PORT, without http://") from error
        found.append(str(place if place.port else Place(place.host, port)))
    return tuple(dict.fromkeys(found))


def listen(raw: object, base: Path) -> str:
    """`ADDRESS:PORT` of this machine, where port 0 is a free one; `*` or nothing before the colon is all addresses."""
    host, colon, port = text(raw, base).rpartition(":")
    host = {"": "0.0.0.0", "*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)  # noqa: S104 - what the user said
    is_good = bool(colon) and port.isascii() and port.isdecimal() and int(port) < 65536
    if not is_good or not is_address_of_a_machine(host.removeprefix("[").removesuffix("]")):
        raise ValueError(f"must be an address of this machine and a port, such as 192.168.1.10:{PEER_PORT}")
    return f"{host}:{port}"


def certificates(raw: object, base: Path) -> Path:
    """A file of PEM certificates, or a folder of them as OpenSSL has it."""
    found = path(raw, base)
    if found.is_dir():
        return found
    try:
        content = read_small(found, RECORD_BYTES, follow=True)
    except OSError as error:
        raise ValueError(f"{found} cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in content:
        raise ValueError(f"{found} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return found


def secret(raw: object, base: Path) -> Secret:
    """A secret that goes into a header: printable ASCII."""
    found = text(raw, base).strip()
    if not found.isascii() or not found.isprintable():
        raise ValueError("must be printable ASCII")
    return Secret(found)


def labels(raw: object, _base: Path) -> tuple[str, ...]:
    """`KEY=VALUE`s: a list, or a text with spaces or commas between them."""
    found = _entries(raw)
    for entry in found:
        if "=" not in entry.strip("="):
            raise ValueError(f"{entry!r} is not a label; write KEY=VALUE, for example zone=edge-7")
    return found


def zone(raw: object, base: Path) -> str:
    """A name of letters, digits, dots and dashes."""
    found = text(raw, base)
    if not _ZONE.fullmatch(found):
        raise ValueError(f"{found!r} is not a name of at most 64 letters, digits, . _ and -")
    return found


def site(raw: object, base: Path) -> str:
    """A name as that of a zone, which begins with a letter or a digit."""
    found = zone(raw, base)
    if not found[0].isalnum():
        raise ValueError(f"{found!r} does not begin with a letter or a digit")
    return found


def control(raw: object, base: Path) -> Secret | None:
    """Places of schedulers of a fleet: `HOST:PORT`, several with commas between them, or a Redis; empty or `none` means
    none. The port of a scheduler is 8091 if none is given."""
    found = text(raw, base)
    if found.lower() == "none" or "://" in found:
        try:
            return redis(raw, base)
        except ValueError as error:
            raise ValueError(f"{error}; a scheduler is HOST:PORT") from None
    places = [parse_place(one) for one in _entries(found)]
    return Secret(",".join(str(Place(one.host, one.port or SCHEDULER_PORT)) for one in places)) if places else None


def redis(raw: object, base: Path) -> Secret | None:
    """Address of a Redis server, which may hold a password and is never quoted; empty or `none` means none."""
    address = text(raw, base)
    if address.lower() == "none":
        return None
    scheme, _, rest = address.partition("://")
    place, _, path = rest.rpartition("@")[2].partition("?")[0].partition("/")
    is_good = scheme in _REDIS and address.isprintable() and " " not in address
    if scheme == "unix":
        is_good = is_good and bool(path) and not place
    elif is_good:
        try:
            parse_place(place)
        except ValueError:
            is_good = False
        is_good = is_good and (not path or path.isdecimal())
    if not is_good:
        raise ValueError("must be an address such as redis://host:6379/0, rediss://… or unix:///path")
    return Secret(address)
