"""`serve` composed from settings: the cache and the sources behind an HTTP server, until somebody stops it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.app.compose import mover_of, open_cache, open_shared, open_sources, sites_of, sweep
from orchestrator.errors import ConfigError, UsageError
from orchestrator.events import Emit, Event, Notice
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop

if TYPE_CHECKING:
    from orchestrator.serve.answers import Counts

_LOOKING = 16
"""Threads that ask sites and the cache."""
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
    try:
        from orchestrator.serve.app import HubFace
        from orchestrator.serve.server import bound, parse_listen, serving
    except ImportError as error:
        raise ConfigError(
            f"glm-aria serve needs starlette and uvicorn, and {error.name} is not installed",
            hint="pip install 'glm-aria[serve]'",
        ) from None
    from orchestrator.depot.locate import SourceLocator
    from orchestrator.depot.other_catalogs import OtherCatalogs
    from orchestrator.depot.resident import Resident
    from orchestrator.serve.arrivals import Arrivals
    from orchestrator.serve.handed import Handed
    from orchestrator.serve.library import Library
    from orchestrator.serve.shelves import Shelves

    def warn(event: Event) -> None:
        """Pass warnings on. The phases of each request are no news."""
        if isinstance(event, Notice):
            emit(event)

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(bound(parse_listen(request.listen)))
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _refuse_itself(settings, url)
        # Anybody who reaches the server reads what it fetches: it asks as somebody without an account.
        open_to_all = replace(settings, token=None)
        shared = stack.enter_context(open_shared(open_to_all, warn))
        cache = stack.enter_context(open_cache(open_to_all, shared=shared))
        sources = stack.enter_context(open_sources(open_to_all, cache.state_dir, stop))
        sites = sites_of(open_to_all, sources, stop)
        library = Library(sites, sources, cache, policy=settings.policy, offline=settings.offline, emit=warn)
        handed = Handed(cache.state_dir)
        stack.callback(sweep, cache.staging)
        catalogs = stack.enter_context(contextlib.closing(OtherCatalogs((), sites, warn)))
        shelves = Shelves(cache, warn)
        arrivals = Arrivals(shelves, handed)
        resident = Resident(
            SourceLocator(sources, catalogs, warn),
            sources,
            cache.staging,
            mover_of(open_to_all),
            place=arrivals.place,
            is_placed=shelves.is_placed,
            emit=warn,
        )
        arrivals.fetch_by(stack.enter_context(resident).want)
        looking = stack.enter_context(_pool(_LOOKING, "look"))
        reading = stack.enter_context(_pool(_READING, "read"))
        face = HubFace(
            library,
            shelves,
            arrivals,
            handed,
            prefix=request.prefix,
            early=settings.serve_early == "safe",
            looking=looking,
            reading=reading,
            emit=warn,
        )
        stop.is_abrupt = False
        with serving(face, listener):
            request.on_ready(url + request.prefix)
            stop.wait()
        return Served(url + request.prefix, face.counts)


@contextlib.contextmanager
def _pool(most: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(most, name)
    try:
        yield pool
    finally:
        # A thread may wait for a site that is slow to answer what nobody needs any more.
        pool.shutdown(wait=False, cancel_futures=True)


def _refuse_itself(settings: Settings, url: str) -> None:
    for source in (settings.root, *settings.mirrors):
        if source.url == url or source.url.startswith(f"{url}/"):
            raise UsageError(
                f"{source.url} is this server's own address ({settings.origins.get('root', 'settings')})",
                hint="name the Hub that it shall ask: --root https://huggingface.co",
            )
