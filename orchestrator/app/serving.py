"""`serve` and `run` composed from settings: the cache and the sources behind an HTTP server, until somebody stops it or
a command has ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult

from orchestrator.app.compose import mover_of, open_cache, open_shared, open_sources, sites_of, sweep
from orchestrator.disk.locks import Patience
from orchestrator.errors import ConfigError, UsageError
from orchestrator.events import Emit, Event, Notice
from orchestrator.net.addresses import split
from orchestrator.settings import Settings
from orchestrator.system.children import refuse_missing, run_command
from orchestrator.system.openings import Openings
from orchestrator.system.signals import Stop, stoppable
from orchestrator.system.threads import Pool

if TYPE_CHECKING:
    from orchestrator.serve.answers import Counts
    from orchestrator.serve.app import HubFace

_ASKING = 16
"""Threads that ask sites."""
_LOOKING = 16
"""Threads that ask the cache."""
_READING = 16
"""Threads that read from the disk what is not in memory."""


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """The place to listen at, as `HOST:PORT`, and the path below which a proxy asks. `on_ready` is told the address."""

    listen: str
    prefix: str
    on_ready: Callable[[str], None]


class Served(NamedTuple):
    """The address that was served, and what was asked there."""

    url: str
    counts: Counts


def serve(settings: Settings, request: ServeRequest, stop: Stop, emit: Emit) -> Served:
    """Serve until `stop`. Raises ConfigError without the libraries; UsageError, CannotCreateError for the address."""
    # Anybody who reaches the server reads what it fetches: it asks as somebody without an account.
    open_to_all = replace(settings, token=None)
    with _served(open_to_all, request.listen, request.prefix, stop, emit, is_own=False) as (url, face, _):
        stop.is_abrupt = False
        request.on_ready(url)
        stop.wait()
    return Served(url, face.counts)


def run(settings: Settings, words: Sequence[str], emit: Emit) -> int:
    """Run a command of the user's behind a server that it alone can find; its exit code. For the main thread.

    Raises what `serve` does, and CommandError when the command cannot be started.
    """
    refuse_missing(words[0])
    prefix = f"/{secrets.token_urlsafe(24)}"
    with (
        stoppable() as stop,
        _served(settings, "127.0.0.1:0", prefix, stop, emit, is_own=True) as (url, _, keeper),
    ):
        # If we are killed the command goes on asking there, with the user's token: nobody else may get the port.
        return run_command(words, behind(url, settings.cache_dir, os.environ), kept=[keeper.fileno()])


def behind(url: str, cache_dir: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for programs that shall ask the server at `url`, and read and fill this cache."""
    changed = {**environment, "HF_ENDPOINT": url, "HF_HUB_CACHE": str(cache_dir), "HF_HUB_DISABLE_XET": "1"}
    if any(environment.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        past = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        changed["no_proxy"] = changed["NO_PROXY"] = ",".join(filter(None, (past, "127.0.0.1")))
    return changed


@contextlib.contextmanager
def _served(
    settings: Settings, listen: str, prefix: str, stop: Stop, emit: Emit, *, is_own: bool
) -> Iterator[tuple[str, HubFace, socket.socket]]:
    """The address for clients, the face, and a socket that keeps its port. See `HubFace` for `is_own`."""
    try:
        from orchestrator.serve.app import HubFace
        from orchestrator.serve.server import ListenAddress, bound, parse_listen, serving
    except ImportError as error:
        raise ConfigError(
            f"this needs starlette and uvicorn, and {error.name} is not installed",
            hint="pip install 'glm-aria[serve]'",
        ) from None
    from orchestrator.depot.elsewhere import Elsewhere
    from orchestrator.depot.locate import SourceLocator
    from orchestrator.depot.resident import Resident
    from orchestrator.serve.arrivals import Arrivals
    from orchestrator.serve.handed import Handed
    from orchestrator.serve.library import Library
    from orchestrator.serve.shelves import Shelves
    from orchestrator.serve.waiting import Waiting

    def warn(event: Event) -> None:
        """Pass warnings on. The phases of each request are no news."""
        if isinstance(event, Notice):
            emit(event)

    with contextlib.ExitStack() as stack:
        listener, keeper = stack.enter_context(bound(parse_listen(listen)))
        url = ListenAddress(*listener.getsockname()[:2]).url
        refuse_itself(settings, url)
        shared = stack.enter_context(open_shared(settings, warn))
        cache = stack.enter_context(open_cache(settings, shared=shared))
        sources = stack.enter_context(open_sources(settings, cache.state_dir, stop))
        sites = sites_of(settings, sources, stop)
        library = Library(sites, sources, cache, policy=settings.policy, offline=settings.offline, emit=warn)
        handed = Handed(cache.state_dir)
        stack.callback(sweep, cache.staging)
        elsewhere = stack.enter_context(contextlib.closing(Elsewhere(sites, warn)))
        shelves = Shelves(cache, elsewhere, warn)
        told = emit if is_own else warn
        arrivals = Arrivals(shelves, handed)
        resident = Resident(
            SourceLocator(sources, elsewhere, warn),
            sources,
            cache.staging,
            mover_of(settings),
            place=arrivals.place,
            is_placed=shelves.is_placed,
            emit=told,
        )
        arrivals.fetch_by(stack.enter_context(resident).want, told)
        asking = stack.enter_context(_pool(_ASKING, "ask"))
        looking = stack.enter_context(_pool(_LOOKING, "look"))
        reading = stack.enter_context(_pool(_READING, "read"))
        waiting = None
        if is_own and (openings := stack.enter_context(_openings())) is not None:
            waiting = Waiting(library, shelves, arrivals, openings=openings, looking=looking, emit=warn)
            # It is ours: the lock of what is placed.
            cache.blobs.patience = Patience(0)
        face = HubFace(
            library,
            shelves,
            arrivals,
            handed,
            prefix=prefix,
            early=settings.serve_early == "safe",
            asking=asking,
            looking=looking,
            reading=reading,
            emit=warn,
            is_own=is_own,
            waiting=waiting,
        )
        stack.enter_context(serving(face, listener))
        yield url + prefix, face, keeper


@contextlib.contextmanager
def _openings() -> Iterator[Openings | None]:
    """The openings of files, where the system tells them."""
    try:
        openings = Openings()
    except OSError:
        yield None
        return
    with contextlib.closing(openings):
        yield openings


@contextlib.contextmanager
def _pool(most: int, name: str) -> Iterator[Executor]:
    pool = Pool(most, name)
    try:
        yield pool
    finally:
        # A thread may wait for a site that is slow to answer what nobody needs any more.
        pool.shutdown(wait=False, cancel_futures=True)


def refuse_itself(settings: Settings, url: str) -> None:
    """Raise UsageError where a source is the server that listens at `url`: it would ask itself without an end."""
    hints = {
        "root": "name the Hub that it shall ask: --root https://huggingface.co",
        "mirrors": "take it out of the mirrors",
    }
    for name, sources in (("root", (settings.root,)), ("mirrors", settings.mirrors)):
        for source in sources:
            if _is_same(split(source.url), split(url)):
                origin = settings.origins.get(name, "settings")
                raise UsageError(f"{source.url} is this server's own address ({origin})", hint=hints[name])


def _is_same(there: SplitResult, own: SplitResult) -> bool:
    """True for any path of one plain server. It listens on loopback, which `localhost` names."""
    has_port = there.scheme == own.scheme and (there.port or 80) == own.port
    return has_port and there.hostname in (own.hostname, "localhost")
