"""Servers of this user that run: each says in a file of its own where it is, and how its user may command it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.disk.private import PrivateFolder, in_private_folder
from orchestrator.system import processes
from orchestrator.system.listeners import Holder, holder

_KIND = "serve"
"""What such a file is called, before the name of the process."""
_MOST = 1 << 16


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A `glm-aria serve` of this user. `url` has its prefix; `token` lets its user command it, and is never shown.

    `near` is the address for programs on this machine that look at certificates: by the name in it, if there is one.
    `since` is the start time of the process, as `system.processes.started` tells it.
    """

    url: str
    pid: int
    since: str
    cache_dir: Path
    token: str = field(repr=False)
    near: str = ""
    has_registry: bool = False

    def __post_init__(self) -> None:
        if not self.near:
            object.__setattr__(self, "near", self.url)

    @property
    def is_proven(self) -> bool:
        """True when that very process runs, and what is sent to its port of 127.0.0.1 reaches it, as far as the system
        tells."""
        if not processes.lives(self.pid, self.since):
            return False
        places = [urlsplit(url) for url in {self.url, self.near}]
        known = (Holder.OURS, Holder.UNKNOWN)
        return all(holder(self.pid, one.port or 80) in known for one in places if one.hostname == "127.0.0.1")


@contextlib.contextmanager
def announced(
    runtime: Path, url: str, cache_dir: Path, token: str, *, near: str = "", has_registry: bool = False
) -> Iterator[RunningServer]:
    """Tell programs of this user, until the context ends, that this process serves at `url`: as the server given.

    The file (0600) lies in the runtime folder; those of servers that were killed are removed. Raises CannotCreateError
    and its like.
    """
    name = processes.made_name(_KIND)
    _, pid, since = processes.me()
    server = RunningServer(url, pid, since, cache_dir, token, near, has_registry)

    def write(folder: PrivateFolder) -> None:
        for other in folder.names():
            if processes.is_left_behind(folder.path / other, _KIND):
                folder.unlink(other, missing_ok=True)
        folder.write(name, json.dumps({**asdict(server), "cache_dir": str(cache_dir)}))

    in_private_folder(runtime, write)
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            (runtime / name).unlink(missing_ok=True)
            runtime.rmdir()  # unless somebody else has something there


def running_servers(runtimes: Iterable[Path]) -> tuple[RunningServer, ...]:
    """The servers that run, of those with a file in one of these runtime folders; unreadable files are passed over."""
    found = []
    for runtime in dict.fromkeys(runtimes):
        folder = PrivateFolder.find(runtime)
        if folder is None:
            continue
        with folder:
            for name in folder.names():
                if name.startswith(f"{_KIND}-") and (server := _read(folder, name)) is not None and server.is_proven:
                    found.append(server)
    return tuple(found)


def connect(server: RunningServer, patience: float) -> http.client.HTTPConnection:
    """A connection to a server, which is opened when it is asked; `patience` are the seconds without a word."""
    parts = urlsplit(server.url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=patience)
    # What listens there is known to be a process of this user, whatever name its certificate has.
    is_known = server.pid and server.is_proven
    context = ssl._create_unverified_context() if is_known else ssl.create_default_context()  # noqa: S323
    return http.client.HTTPSConnection(host, parts.port, timeout=patience, context=context)


def _read(folder: PrivateFolder, name: str) -> RunningServer | None:
    try:
        said = json.loads(folder.read(name, _MOST))
        pid = processes.parse_pid(said["pid"])
        url, since, cache_dir, token = (str(said[part]) for part in ("url", "since", "cache_dir", "token"))
        near, has_registry = str(said.get("near", "")), said.get("has_registry") is True
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if pid is None else RunningServer(url, pid, since, Path(cache_dir), token, near, has_registry)
