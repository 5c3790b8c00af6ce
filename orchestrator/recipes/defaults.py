"""Defaults of template values without a `--set`: the texts from which they are read."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path
from statistics import median
from typing import Self
from urllib.parse import urlsplit

from orchestrator.core.sources import Source
from orchestrator.disk import places
from orchestrator.errors import ConfigError, UsageError
from orchestrator.mirrors.rank import rank
from orchestrator.mirrors.stats import Stats
from orchestrator.recipes.readers import StreamServer, address

_RESOLV_CONF = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
_HIGHEST_WEIGHT = 100


@dataclass(frozen=True, slots=True)
class Known:
    """The inputs of defaults: the root, the sources in order, and their measurements."""

    root: Source
    sources: tuple[Source, ...]
    memory: Stats

    @classmethod
    def of(cls, root: Source, sources: Sequence[Source], memory: Stats) -> Self:
        """The believed sources, the best first: who reads what is rendered, and hf by `glm-aria env`, believes the
        mirror, so it must be the user's own choice."""
        return cls(root, tuple(rank([source for source in sources if source.is_believed], memory)), memory)


Default = Callable[[Known], str]


def chosen_mirror(known: Known, name: str | None) -> str:
    """The address of the mirror that is called `name`, of the first in order, or the root where there is none."""
    if name is None:
        mirrors = [source for source in known.sources if not source.is_root and source.kind is known.root.kind]
        return address((mirrors or [known.root])[0].url)
    for source in known.sources:
        if name in (source.name, source.address, source.url):
            if source.kind is not known.root.kind:
                raise UsageError(f"{name} does not speak the protocol of the Hub", hint="glm-aria mirrors ls")
            return address(source.url)
    raise UsageError(f"there is no mirror {name!r}", hint="glm-aria mirrors ls, or add it to the settings")


def folder(name: str) -> Default:
    """A folder in this user's cache folder. The default raises ConfigError for a user without a home."""

    def default(_known: Known) -> str:
        caches = places.cache_folder()
        if caches is None:
            raise ConfigError("this user has no home folder to keep caches in", hint="set HOME or XDG_CACHE_HOME")
        return str(caches / "glm-aria" / name)

    return default


def config(name: str) -> Default:
    """A file in this user's folder of settings, as systemd writes it."""

    def default(_known: Known) -> str:
        return f"%h/.config/{name}"

    return default


def always(value: str) -> Default:
    """The same text everywhere."""
    return lambda _known: value


def this_machine(_known: Known) -> str:
    """The name by which this machine calls itself."""
    return socket.gethostname()


def first_file(candidates: tuple[str, ...], otherwise: str) -> Default:
    """The first file that is there."""
    return lambda _known: next((name for name in candidates if Path(name).is_file()), otherwise)


def own_program(_known: Known) -> str:
    """The path of glm-aria."""
    found = shutil.which("glm-aria")
    return str(Path(found).absolute()) if found else "%h/.local/bin/glm-aria"


def program(name: str, otherwise: str) -> Default:
    """The path of a program on the PATH."""
    return lambda _known: shutil.which(name) or otherwise


def _nameservers() -> list[str]:
    """The name servers of this machine: those behind systemd-resolved if that runs."""
    for name in _RESOLV_CONF:
        try:
            text = Path(name).read_text("utf-8", "replace")
        except OSError:
            continue
        if found := re.findall(r"^nameserver\s+([0-9a-fA-F.:]+)\s*$", text, re.MULTILINE):
            return found
    return []


def nginx_resolvers(_known: Known) -> str:
    """The DNS servers of this machine; without any, that of systemd-resolved."""
    return ",".join(_nameservers()) or "127.0.0.53"


def far_resolvers(_known: Known) -> str:
    """The DNS servers of this machine without its own addresses: systemd-resolved would ask itself.

    Raises UsageError without any.
    """
    found = [item for item in _nameservers() if not item.startswith("127.") and item != "::1"]
    if not found:
        raise UsageError(
            "this machine has no DNS server other than itself",
            hint="name some: --set resolvers=223.5.5.5,119.29.29.29",
        )
    return ",".join(found)


def measured_servers(known: Known) -> str:
    """The plain-http mirrors with weights from their rates; without a measurement, as the median of the others.

    Raises UsageError without any.
    """
    usable = [source for source in known.sources if known.memory.quarantine_of(source) is None]
    plain = [source for source in usable if source.url.startswith("http:") and not urlsplit(source.url).path]
    if not plain:
        raise UsageError(
            "no source of the settings works behind a TCP proxy: sites with TLS answer to their own names only",
            hint="name relays of your own: --set servers=10.0.0.5:8000=3,10.0.0.6:8000=1",
        )
    rates = [known.memory.of(source).rate for source in plain]
    measured = [rate for rate in rates if rate]
    usual = median(measured) if measured else 1.0
    servers = weighted([source.netloc for source in plain], [rate or usual for rate in rates])
    return ",".join(f"{server.address}={server.weight}" for server in servers)


def weighted(places: list[str], rates: list[float]) -> list[StreamServer]:
    """Servers whose weights stand to each other as the rates do, the smallest whole numbers up to 100."""
    fastest = max(rates)
    weights = [max(1, round(_HIGHEST_WEIGHT * rate / fastest)) for rate in rates]
    common = reduce(gcd, weights)
    return [
        StreamServer(place if ":" in place.rpartition("]")[2] else f"{place}:80", weight // common)
        for place, weight in zip(places, weights, strict=True)
    ]
