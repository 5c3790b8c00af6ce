"""What the flows work with: the rooms below, joined by whoever wires a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.cache.cache import HfCache
from orchestrator.cache.records import Records
from orchestrator.cache.staging import Staging
from orchestrator.catalogs.interface import Catalog, CommitObjects
from orchestrator.core.proxies import Proxies
from orchestrator.core.refs import CatalogKind
from orchestrator.core.sources import Source
from orchestrator.mirrors.stats import SourceMemory
from orchestrator.net.session import Net
from orchestrator.transfer.limits import TransferLimits


class Stop(threading.Event):
    """Set when the user wants the run to end; knows which signal said so.

    While `is_abrupt`, nothing is under way that needs to be ended in order, and the signal may interrupt at once.
    """

    signal_number: int = 2
    is_abrupt: bool = True


class Daemon(Protocol):
    """The aria2c of a run, as the flow uses it: a context manager that ends what is ours to end."""

    @property
    def restartable(self) -> bool:
        """True when `start` may be called again after the daemon died."""

    def start(self) -> Endpoint:
        """Where the daemon listens; started first when it is ours. Raises DaemonError."""

    def check(self, staging: Path) -> int | None:
        """How many downloads it runs at once; None for as many as it is given.

        Raises DaemonError unless what the daemon writes into `staging` lands on the disk that we see.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """One run's rooms.

    `catalogs` are the ones that are asked first, of each kind; `mirror_catalogs` those of the mirrors, in order of
    preference; `git` reads commits at any of them. `aliases` are names at a Hub -> names at ModelScope. `net` asks the
    roots, patiently; `mirror_net` asks mirrors, which are given up soon. `sources` are in the order of preference,
    roots first; `memory` is what earlier runs learned about them. `daemon` makes the daemon only when something is to
    be fetched; `proxies` are for it, and where they say nothing, it has its own. `ca_bundle` are the certificates that
    are believed, None for the usual ones.
    """

    catalogs: Mapping[CatalogKind, Catalog]
    mirror_catalogs: tuple[Catalog, ...]
    git: CommitObjects
    sources: tuple[Source, ...]
    net: Net
    mirror_net: Net
    cache: HfCache
    records: Records
    memory: SourceMemory
    staging: Staging
    daemon: Callable[[], Daemon]
    limits: TransferLimits
    stop: Stop
    proxies: Proxies = field(default_factory=Proxies)
    ca_bundle: Path | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
