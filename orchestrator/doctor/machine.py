"""This machine: its disk, its cache, its aria2, its open files and its resolvers, each as a step of the examination."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.aria2.endpoint import OpenRpc
from orchestrator.aria2.program import Program, program
from orchestrator.cache import census as census_
from orchestrator.cache.cache import Cache
from orchestrator.core.addresses import is_this_machine
from orchestrator.core.network.resolvers import NameServer, Reply
from orchestrator.disk.space import space, write_rate
from orchestrator.net.lookup.dns import ask, ask_system, system_servers
from orchestrator.platform import rlimits
from orchestrator.system.threads import Step
from orchestrator.upkeep.collect import collect
from orchestrator.upkeep.garbage import Rules

_DNS_PATIENCE = 2.5
_USUAL_RPC = "http://127.0.0.1:6800/jsonrpc"


@dataclass(frozen=True, slots=True)
class CacheHealth:
    """Of the cache: the bytes that nothing needs, and the folders of repos whose refs cannot be read."""

    litter: int = 0
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MachineSteps:
    """The measurements of this machine, all at once."""

    write_rate: Step[float | None]
    free: Step[int]
    aria2: Step[Program | None]
    health: Step[CacheHealth]
    open_rpcs: Step[tuple[OpenRpc, ...]]
    roomier: Step[str | None]
    replies: tuple[Step[Reply], ...]

    @classmethod
    def of(
        cls, cache: Cache, roomy: Sequence[Path], rpc: str | None, hosts: Sequence[str], servers: Sequence[NameServer]
    ) -> MachineSteps:
        """The steps for a cache. `roomy` are folders that may lie on a disk with more room, `rpc` an aria2 of the
        user's, `hosts` the names that the `servers` and the system's resolver are asked for."""
        folder = cache.layout.cache_dir
        return cls(
            Step("disk speed", lambda: write_rate(folder)),
            Step("free space", lambda: space(folder).free),
            Step("aria2", program),
            Step("cache", lambda: _health(cache)),
            Step("aria2's RPC", lambda: _open_rpcs(rpc)),
            Step("roomier disk", lambda: _roomier(folder, roomy)),
            tuple(_lookups(hosts, servers)) if hosts else (),
        )

    @property
    def all(self) -> tuple[Step[Any], ...]:
        """Every one of them."""
        here = (self.write_rate, self.free, self.aria2, self.health, self.open_rpcs, self.roomier)
        return (*here, *self.replies)


def open_files() -> tuple[int, int]:
    """The soft and the hard limit of open files."""
    soft, hard = rlimits.open_files()
    most = 1 << 20
    return (most if soft < 0 else soft, most if hard < 0 else hard)


def _lookups(hosts: Sequence[str], servers: Sequence[NameServer]) -> Iterator[Step[Reply]]:
    for host in hosts:
        yield Step(f"system resolver {host}", partial(ask_system, host))
        for server in dict.fromkeys((*servers, *system_servers())):
            yield Step(f"resolver {server} {host}", partial(_asked, server, host))


def _asked(server: NameServer, name: str) -> Reply:
    return ask(server, name, _DNS_PATIENCE)[0]


def _open_rpcs(rpc: str | None) -> tuple[OpenRpc, ...]:
    """The aria2 daemons of this machine that obey everybody: the usual one, and that of the settings."""
    from orchestrator.aria2.running import open_rpc

    named = [rpc] if rpc and is_this_machine(urlsplit(rpc).hostname or "") else []
    return tuple(found for url in dict.fromkeys((*named, _USUAL_RPC)) if (found := open_rpc(url)))


def _health(cache: Cache) -> CacheHealth:
    bad = tuple(repo.folder for repo in census_.take(cache.layout).repos if repo.has_bad_refs)
    return CacheHealth(collect(Rules(time.time(), litter=True), cache, act=False).bytes_freed, bad)


def _roomier(cache: Path, candidates: Sequence[Path]) -> str | None:
    """The folder with the most room on another disk than the cache's, among those that we may write."""
    rooms: list[tuple[int, str]] = []
    own = _device(cache)
    for path in candidates:
        if path.is_dir() and os.access(path, os.W_OK | os.X_OK) and _device(path) != own:
            rooms.append((space(path).free, str(path / "huggingface" / "hub")))
    return max(rooms)[1] if rooms else None


def _device(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.stat().st_dev
