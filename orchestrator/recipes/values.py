"""The values of each template that a user can render: where one comes from, and what may be given instead.

A value ends up in the configuration of another program, so each is read by a rule that lets nothing through which that
program would take for a directive of its own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from orchestrator import __version__
from orchestrator.core.addresses import Place, is_address_of_a_machine, parse_place
from orchestrator.core.resolvers import PORT, parse_server
from orchestrator.core.sources import Source, parse_source
from orchestrator.disk import places
from orchestrator.errors import ConfigError, UsageError
from orchestrator.mirrors.stats import Stats
from orchestrator.settings import Settings

# Where distributions keep the certificates that they trust; the first that is there.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
_STREAM_MODULES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so")
_RESOLV_CONF = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
# A line of a configuration, and a pattern of nginx, can hold these as they are.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.:\[\]_~/-]+")
_HIGHEST_WEIGHT = 100


@dataclass(frozen=True, slots=True)
class World:
    """What defaults are made of: the settings, the sources in their order, and what was measured of them."""

    settings: Settings
    sources: tuple[Source, ...]
    memory: Stats


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the stream proxy: `host:port`, and its share of the connections."""

    address: str
    weight: int = 1


Read = Callable[[str], object]
Default = Callable[[World], str]


@dataclass(frozen=True, slots=True)
class Value:
    """How the text of `--set` is read (ValueError: it is refused), and the text that holds without one."""

    read: Read
    default: Default


def values_of(name: str, given: Mapping[str, str], world: Callable[[], World]) -> dict[str, object]:
    """All values of a template. Raises UsageError for one that is unknown or wrong, or that nothing can be made of."""
    known = _VALUES.get(name, {})
    found: dict[str, object] = {"version": __version__}
    for key in given:
        if key not in known:
            values = ", ".join(known) or "none"
            raise UsageError(f"the template {name} has no value {key!r}", hint=f"its values: {values}")
    if not known:
        return found
    around = world()
    for key, value in known.items():
        text = given[key] if key in given else value.default(around)
        try:
            found[key] = value.read(text)
        except ValueError as error:
            what = f"--set {key}={text}" if key in given else f"what {key} is without a --set, {text!r},"
            raise UsageError(f"{what}: {error}", hint=None if key in given else f"--set {key}=VALUE") from error
    if name == "nginx-relay.conf":
        _relay_hosts(found, cdns_given="cdn_hosts" in given)
    return found


def chosen_mirror(world: World, name: str | None) -> str:
    """The address of the mirror that is called `name`, of the first in order, or the root where there is none."""
    if name is None:
        mirrors = [source for source in world.sources if not source.is_root and source.kind is world.settings.root.kind]
        return address((mirrors or [world.settings.root])[0].url)
    for source in world.sources:
        if name in (source.name, source.address, source.url):
            if source.kind is not world.settings.root.kind:
                raise UsageError(f"{name} does not speak the protocol of the Hub", hint="glm-aria mirrors ls")
            return address(source.url)
    raise UsageError(f"there is no mirror {name!r}", hint="glm-aria mirrors ls, or add it to the settings")


# -- reading what was given --------------------------------------------------------------------------------------------


def address(text: str) -> str:
    """An address without anything that means something to a shell, git, systemd or nginx. Raises UsageError."""
    url = parse_source(text).url
    if not _PLAIN_ADDRESS.fullmatch(url):
        raise UsageError(f"the address {text!r} holds characters that a configuration cannot")
    return url


def _matching(pattern: str, what: str) -> Read:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"is not {what}")
        return text

    return read


_PATH = r"(?:/|~/|%h/)[\w.@+/-]*"
_path = _matching(_PATH, "an absolute path of letters, digits and ._@+-")
_path_or_none = _matching(f"(?:{_PATH})?", "empty, or an absolute path of letters, digits and ._@+-")
_size = _matching(r"[1-9]\d{0,6}[kmg]?", "a size such as 8m or 200g")
_time = _matching(r"[1-9]\d{0,6}[smhd]", "a time such as 30s or 1m")
_count = _matching(r"[1-9]\d{0,3}", "a number from 1 to 9999")


def _listen(text: str) -> str:
    if text != "*":
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        if not is_address_of_a_machine(bare) and parse_place(text).port is not None:
            raise ValueError("is not an address to listen at; the port has its own value")
    return f"[{text}]" if ":" in text and not text.startswith("[") else text


_IN_HOME = r"%h/[A-Za-z0-9.@+/_-]+"


def _systemd_word(text: str) -> str:
    """An absolute path as one quoted word of a unit: systemd.syntax(7) names what has a meaning in there."""
    if re.fullmatch(_IN_HOME, text):
        return text
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("is not an absolute path of printable characters")
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(character, written)
    return f'"{text}"'


def _port(text: str) -> int:
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


def _host_name(text: str) -> str:
    try:
        place = parse_place(text.lower())
    except ValueError as error:
        raise ValueError(f"{text!r} is not a host name") from error
    if place.port is not None or ":" in place.host:
        raise ValueError(f"{text!r} is not a host name")
    return place.host


_resolvers = _several(_resolver)
_plain_resolvers = _several(_plain_resolver)
_hosts = _several(_host_name)


def _read_servers(text: str) -> list[Server]:
    found = []
    for item in re.split(r"[\s,]+", text.strip()):
        where, equals, weight = item.partition("=")
        place = parse_place(where)
        if place.port is None or (equals and not re.fullmatch(r"[1-9][0-9]{0,3}", weight)):
            raise ValueError(f"{item!r} is not host:port or host:port=weight")
        found.append(Server(str(place), int(weight or 1)))
    return found


# -- what holds without -----------------------------------------------------------------------------------------------


def _folder(name: str) -> Default:
    def default(_world: World) -> str:
        folder = places.cache_folder()
        if folder is None:
            raise ConfigError("this user has no home folder to keep caches in", hint="set HOME or XDG_CACHE_HOME")
        return str(folder / "glm-aria" / name)

    return default


def _config(name: str) -> Default:
    def default(_world: World) -> str:
        return f"%h/.config/{name}"

    return default


def _always(value: str) -> Default:
    return lambda _world: value


def _first_file(candidates: tuple[str, ...], otherwise: str) -> Default:
    return lambda _world: next((name for name in candidates if Path(name).is_file()), otherwise)


def _own_program(_world: World) -> str:
    found = shutil.which("glm-aria")
    return str(Path(found).absolute()) if found else "%h/.local/bin/glm-aria"


def _program(name: str, otherwise: str) -> Default:
    return lambda _world: shutil.which(name) or otherwise


def _nameservers() -> list[str]:
    """What this machine asks: the servers behind systemd-resolved where that runs."""
    for name in _RESOLV_CONF:
        try:
            text = Path(name).read_text("utf-8", "replace")
        except OSError:
            continue
        if found := re.findall(r"^nameserver\s+([0-9a-fA-F.:]+)\s*$", text, re.MULTILINE):
            return found
    return []


def _nginx_resolvers(_world: World) -> str:
    return ",".join(_nameservers()) or "127.0.0.53"


def _far_resolvers(_world: World) -> str:
    """Without addresses of this machine, which may be systemd-resolved itself: it would ask in a circle."""
    found = [item for item in _nameservers() if not item.startswith("127.") and item != "::1"]
    if not found:
        raise UsageError(
            "this machine names no DNS server outside of itself",
            hint="name some: --set resolvers=223.5.5.5,119.29.29.29",
        )
    return ",".join(found)


def _measured_servers(world: World) -> str:
    """The plain-http mirrors with weights from their rates; without a measurement, as the median of the others."""
    usable = [source for source in world.sources if world.memory.quarantine_of(source) is None]
    plain = [source for source in usable if source.url.startswith("http:") and not urlsplit(source.url).path]
    if not plain:
        raise UsageError(
            "no source of the settings can stand behind a TCP proxy: sites with TLS answer to their own names only",
            hint="name relays of your own: --set servers=10.0.0.5:8000=3,10.0.0.6:8000=1",
        )
    rates = [world.memory.of(source).rate for source in plain]
    known = [rate for rate in rates if rate]
    usual = median(known) if known else 1.0
    servers = weighted([source.netloc for source in plain], [rate or usual for rate in rates])
    return ",".join(f"{server.address}={server.weight}" for server in servers)


def weighted(places: list[str], rates: list[float]) -> list[Server]:
    """Servers whose weights stand to each other as the rates do, the smallest whole numbers up to 100."""
    fastest = max(rates)
    weights = [max(1, round(_HIGHEST_WEIGHT * rate / fastest)) for rate in rates]
    common = reduce(gcd, weights)
    return [
        Server(place if ":" in place.rpartition("]")[2] else f"{place}:80", weight // common)
        for place, weight in zip(places, weights, strict=True)
    ]


def _relay_hosts(found: dict[str, object], *, cdns_given: bool) -> None:
    upstream = urlsplit(str(found["upstream"]))
    if upstream.path:
        raise UsageError("the relay's upstream must be a site without a path", hint="--set upstream=https://SITE")
    found["upstream_host"] = upstream.netloc
    hosts = found["cdn_hosts"]
    if isinstance(hosts, list) and not cdns_given:
        found["cdn_hosts"] = list(dict.fromkeys([*hosts, upstream.hostname or ""]))


_VALUES: dict[str, dict[str, Value]] = {
    "nginx-relay.conf": {
        "upstream": Value(address, lambda world: address(world.settings.root.url)),
        "cdn_hosts": Value(_hosts, _always("hf.co,huggingface.co")),
        "listen": Value(_listen, _always("127.0.0.1")),
        "port": Value(_port, _always("8090")),
        "cdn_port": Value(_port, _always("8092")),
        "folder": Value(_path, _folder("relay")),
        "size": Value(_size, _always("200g")),
        "slice": Value(_size, _always("8m")),
        "fresh": Value(_time, _always("1m")),
        "resolvers": Value(_resolvers, _nginx_resolvers),
        "ca_file": Value(_path, _first_file(_CA_FILES, _CA_FILES[0])),
    },
    "nginx-stream.conf": {
        "servers": Value(_read_servers, _measured_servers),
        "listen": Value(_listen, _always("127.0.0.1")),
        "port": Value(_port, _always("8091")),
        "folder": Value(_path, _folder("stream")),
        "max_fails": Value(_count, _always("3")),
        "fail_timeout": Value(_time, _always("30s")),
        "module": Value(_path_or_none, _first_file(_STREAM_MODULES, "")),
    },
    "nginx.service": {
        "conf": Value(_path, _config("glm-aria/nginx-relay.conf")),
        "folder": Value(_path, _folder("relay")),
        "nginx": Value(_path, _program("nginx", "/usr/sbin/nginx")),
    },
    "aria2.service": {
        "conf": Value(_path, _config("aria2/aria2.conf")),
        "secret_conf": Value(_path, _config("aria2/secret.conf")),
        "port": Value(_port, _always("6800")),
        "aria2c": Value(_path, _program("aria2c", "/usr/bin/aria2c")),
    },
    "glm-aria-watch.service": {
        "list": Value(_systemd_word, _config("glm-aria/models.txt")),
        "interval": Value(_time, _always("5m")),
        "program": Value(_systemd_word, _own_program),
    },
    "gitconfig": {
        "root": Value(address, lambda world: address(world.settings.root.url)),
        "mirror": Value(address, lambda world: chosen_mirror(world, None)),
    },
    "resolved.conf": {"resolvers": Value(_plain_resolvers, _far_resolvers)},
}
