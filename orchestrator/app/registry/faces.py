"""The faces of a server's registry composed from settings: REST, and gRPC at a place of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.app.extras import rpc_libraries, server_libraries
from orchestrator.app.registry.facade import Facade
from orchestrator.errors import UsageError
from orchestrator.events import Emit
from orchestrator.settings import Settings
from orchestrator.system.limits import allow_open_files
from orchestrator.system.threads import passing_pool, start

if TYPE_CHECKING:
    from orchestrator.rpc.server import RpcPlace
    from orchestrator.serve.access.door import Door
    from orchestrator.serve.access.sessions import Sessions
    from orchestrator.serve.http.exchange import Observer
    from orchestrator.serve.pages.layout import PageLayout
    from orchestrator.serve.registry.face import RegistryFace
    from orchestrator.serve.registry.pages.face import RegistryPages

_THREADS = 16
"""Threads that answer for the registry, and ask the one below."""
_EACH, _WAITING = 4, 512
"""Calls of one client that are answered at once, and those that wait: the nodes of a cluster may have one token, and
hear of a move together."""
_OPTION = "--registry-grpc"
_MOST_CONNECTIONS, _OPEN_FILES = 1024, 8192
"""Connections of gRPC, and descriptors that the process has for all; of fewer, connections get an eighth."""
_MOST_SENT = 4 << 20
"""Bytes that clients of gRPC take in a message, if nobody told them otherwise."""


class RegistryFaces(NamedTuple):
    """The face of the REST calls; that of the pages, for browsers of these sessions; and those of gRPC, as long as a
    context lasts, in the event loop of the server and before its observers. It gives their `HOST:PORT`, if there is
    one, and raises CannotCreateError and ConfigError."""

    rest: RegistryFace
    pages: Callable[[Sessions, PageLayout], RegistryPages]
    speaking: Callable[[asyncio.AbstractEventLoop, Sequence[Observer]], AbstractContextManager[str | None]]


@contextlib.contextmanager
def registry_faces(
    facade: Facade, door: Door, rpc: RpcPlace | None, *, is_over: Callable[[], bool], emit: Emit
) -> Iterator[RegistryFaces]:
    """The faces for clients of the registry; `is_over` tells that the server ends."""
    with server_libraries("registry"):
        from orchestrator.registry.tokens import LIFE
        from orchestrator.serve.http.once import ClientTurns
        from orchestrator.serve.registry.calls import Calls
        from orchestrator.serve.registry.face import RegistryFace
        from orchestrator.serve.registry.following import Following
        from orchestrator.serve.registry.pages.face import RegistryPages
        from orchestrator.serve.registry.pages.showing import RegistryShow
        from orchestrator.serve.registry.streams import EventStreams

    with contextlib.ExitStack() as held:
        asking, issuing, reading = (
            held.enter_context(passing_pool(most, name))
            for name, most in (("registry", _THREADS), ("registry-tokens", 2), ("registry-trail", 2))
        )
        turns = ClientTurns(asking, each=_EACH, waiting=_WAITING)
        following = Following(facade.registry, facade.bell, reading, is_over)

        @contextlib.contextmanager
        def speaking(loop: asyncio.AbstractEventLoop, observers: Sequence[Observer]) -> Iterator[str | None]:
            if rpc is None:
                yield None
                return
            from orchestrator.rpc.server import lasting, listening
            from orchestrator.serve.registry.rpc.service import ModelRegistryService

            service = ModelRegistryService(facade.registry, following, door, turns, observers=observers, emit=emit)
            run = partial(asyncio.run_coroutine_threadsafe, loop=loop)
            with lasting(listening(service, rpc, emit), run) as port:
                try:
                    yield f"{rpc.listen.rpartition(':')[0]}:{port}"
                finally:
                    facade.bell.ring()

        calls, streams = Calls(facade.registry), EventStreams(following)
        rest = RegistryFace(
            *(calls, streams, facade.issue),
            service=facade.service,
            life=LIFE,
            asking=turns,
            issuing=ClientTurns(issuing, each=1, waiting=_WAITING),
        )
        pages = partial(RegistryPages, RegistryShow(facade.registry), streams, asking=turns)
        # Beside: it may be started with this server, and be there a moment later.
        start(threading.Thread(target=facade.look, args=(emit,), name="below", daemon=True))
        yield RegistryFaces(rest, pages, speaking)


def rpc_place(settings: Settings, certificate: Path | None, key: Path | None) -> RpcPlace | None:
    """The place where the settings have the registry answer by gRPC, if they do, with the certificate of the server.

    Raises UsageError for a place that has none and that other machines reach, and where there is no registry;
    ConfigError without the libraries.
    """
    if settings.serve_registry_grpc is None:
        return None
    if settings.serve_registry is None:
        raise UsageError(f"{_OPTION} is for a server with a registry", hint="name it: --registry URL")
    with rpc_libraries("registry"):
        from orchestrator.rpc.credentials import TlsFiles
        from orchestrator.rpc.server import RpcPlace
        from orchestrator.serve.server import parse_listen

    address = parse_listen(settings.serve_registry_grpc, _OPTION)
    if not address.is_loopback and certificate is None:
        raise UsageError(
            f"gRPC is not spoken at {address.place} without TLS: who is on the way would read the tokens",
            hint=f"name a certificate: --cert FILE --key FILE; or serve this machine alone: {_OPTION} "
            f"127.0.0.1:{address.port}",
        )
    most = min(_MOST_CONNECTIONS, allow_open_files(_OPEN_FILES) // 8)
    return RpcPlace(address.place, _OPTION, TlsFiles(certificate, key), most, _MOST_SENT)
