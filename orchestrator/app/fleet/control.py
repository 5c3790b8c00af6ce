"""The control of a fleet composed from settings: a scheduler of this process, or those at addresses."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.app.extras import rpc_libraries
from orchestrator.app.peers.keys import needed_keys
from orchestrator.core.addresses import is_this_machine, parse_place
from orchestrator.core.text import counted, redacted
from orchestrator.errors import CannotCreateError, ConfigError, Interrupted, TemporaryError, UsageError
from orchestrator.events import Emit
from orchestrator.settings import Settings
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.signals import Stop

if TYPE_CHECKING:
    from orchestrator.rpc.credentials import TlsFiles
    from orchestrator.serve.access.keyring import Keyring
    from orchestrator.swarm.board.interface import FleetBoard
    from orchestrator.swarm.control.access import FleetCaller
    from orchestrator.swarm.control.line import FleetCalls, RemoteScheduler, Scheduled
    from orchestrator.swarm.control.loops import LoopThread
    from orchestrator.swarm.control.scheduling.scheduler import Scheduler
    from orchestrator.swarm.control.service import FleetService

T = TypeVar("T")
Ended = Callable[[Future[None]], None]
_GLANCE = 0.5
"""Seconds between two looks whether a signal came."""


def tls_of(settings: Settings) -> TlsFiles:
    """The certificates of the settings. Raises ConfigError."""
    with rpc_libraries("fleet"):
        from orchestrator.rpc.credentials import TlsFiles

    certificate, key = settings.fleet_certificate, settings.fleet_certificate_key
    if (certificate is None) is not (key is None):
        raise ConfigError(
            "a certificate of the fleet and its key belong together",
            hint="set fleet.certificate and fleet.certificate_key",
        )
    return TlsFiles(certificate, key, settings.fleet_authority)


@contextlib.contextmanager
def event_loop() -> Iterator[LoopThread]:
    """An event loop for the control. Raises ConfigError without the libraries."""
    with rpc_libraries("fleet"):
        import orchestrator.swarm.control.server  # noqa: F401 - the error for who lacks a library comes here
        from orchestrator.swarm.control.loops import running_loop

    with running_loop("fleet") as loop:
        yield loop


def waited(future: Future[T], stop: Stop) -> T:
    """The result of something that the loop does. Raises Interrupted when the user stops it."""
    while True:
        with contextlib.suppress(TimeoutError):
            return future.result(_GLANCE)
        if stop.is_set():
            future.cancel()
            raise Interrupted(stop.signal_number)


def board_at(redis: str | None, keys: FleetKeys) -> FleetBoard:
    """The board of this fleet in a Redis; one in memory without."""
    if redis is None:
        from orchestrator.swarm.board.memory import MemoryBoard

        return MemoryBoard()
    from orchestrator.swarm.board.redis import RedisBoard

    # Two fleets in one Redis have boards of their own.
    return RedisBoard(redis, keys.marks[0], keys, keys.marks[1:])


def scheduler_over(board: FleetBoard, loop: LoopThread, emit: Emit, site: str = "") -> tuple[Scheduler, Future[None]]:
    """A scheduler of a site in the loop, and its work, which is to be cancelled."""
    from orchestrator.swarm.control.scheduling.scheduler import Scheduler

    async def make() -> Scheduler:
        return Scheduler(board, f"{socket.gethostname()}-{os.getpid()}", emit, site=site)

    scheduler = loop.run(make()).result()
    return scheduler, loop.run(scheduler.run())


@contextlib.contextmanager
def hosted(
    settings: Settings,
    board: FleetBoard,
    listen: str,
    loop: LoopThread,
    emit: Emit,
    *,
    tokens: Keyring | None = None,
    hosts: Sequence[str] = (),
) -> Iterator[HostedScheduler]:
    """A scheduler of this process that nodes reach, also as one of `hosts`. Raises CannotCreateError where nothing can
    listen."""
    from orchestrator.rpc.server import lasting
    from orchestrator.swarm.control.access import FleetDoor
    from orchestrator.swarm.control.server import listening
    from orchestrator.swarm.control.service import FleetService

    scheduler, work = scheduler_over(board, loop, emit, settings.fleet_site)
    know = _known(tokens) if tokens else lambda *_: None
    door = FleetDoor(needed_keys(settings), know, (*settings.fleet_hosts, *hosts))
    service = FleetService(scheduler, door, emit)
    try:
        with lasting(listening(service, listen, tls_of(settings), emit), loop.run) as port:
            yield HostedScheduler(scheduler, service, port, work, loop)
    finally:
        work.cancel()


@dataclass(frozen=True, slots=True)
class HostedScheduler:
    """A scheduler of this process, its service, the port of that, its work, which only a bug ends, and their loop."""

    scheduler: Scheduler
    service: FleetService
    port: int
    work: Future[None]
    loop: LoopThread

    def ask(self, question: Callable[[Scheduler], T]) -> T:
        """The answer of the scheduler, given in its loop, where what it knows does not change meanwhile."""

        async def answer() -> T:
            return question(self.scheduler)

        return self.loop.run(answer()).result()

    def status(self) -> str:
        """The state of the fleet in a line. For the loop."""
        under_way = sum(not one.state.has_ended for one in self.scheduler.tasks())
        return f"{counted(self.service.streams, 'node')} connected, {counted(under_way, 'task')} under way"

    def check(self) -> None:
        """Raise what ended its work, if anything did."""
        if self.work.done():
            self.work.result()

    @property
    def is_needed(self) -> bool:
        """True while other nodes are connected and some task has not ended."""
        return (
            not self.work.done()
            and self.service.streams > 0
            and any(not one.state.has_ended for one in self.ask(lambda scheduler: scheduler.tasks()))
        )


def _known(tokens: Keyring) -> Callable[[str, str], FleetCaller | None]:
    """The rights of the tokens of `glm-aria token`: who may read sees, an admin commands. None submits. Who is bound to
    some namespaces has no right in the fleet."""
    from orchestrator.serve.http.refusals import Refused
    from orchestrator.swarm.control.access import FleetCaller, FleetRight

    def know(token: str, address: str) -> FleetCaller | None:
        try:
            caller = tokens.identify(token, address)
        except Refused:
            return None
        if caller is None or not caller.may_view:
            return None
        rights = {FleetRight.VIEW, FleetRight.COMMAND} if caller.is_admin else {FleetRight.VIEW}
        return FleetCaller(caller.name, frozenset(rights))

    return know


def remote_schedulers(settings: Settings, places: str, node: str) -> tuple[RemoteScheduler, ...]:
    """The schedulers at these places, for this node; without a key of the fleet for who has a token. Raises
    ConfigError for who has neither."""
    from orchestrator.swarm.control.access import with_key, with_token
    from orchestrator.swarm.control.line import RemoteScheduler

    files, token = tls_of(settings), settings.fleet_token
    if token is not None:
        show = with_token(token, is_encrypted=files.authority is not None)
    else:
        show = with_key(needed_keys(settings), node)
    return tuple(RemoteScheduler(place, files, show) for place in places.split(","))


@contextlib.contextmanager
def linked(settings: Settings, own: HostedScheduler, emit: Emit) -> Iterator[None]:
    """Links of the scheduler to those of other sites that the settings name, as long as the context lasts. Raises
    UsageError where this one has no name."""
    from orchestrator.swarm.control.access import with_key
    from orchestrator.swarm.control.sites.links import SiteLink

    if settings.fleet_links and not settings.fleet_site:
        raise UsageError(
            "the schedulers of other sites have to know which site this is", hint="give it a name: --site NAME"
        )
    show, files = with_key(needed_keys(settings), "site"), tls_of(settings)
    links = [SiteLink(place, files, show) for place in settings.fleet_links]
    working = [own.loop.run(link.keep(own.scheduler.desk, emit)) for link in links]
    try:
        yield
    finally:
        for one in working:
            one.cancel()


@contextlib.contextmanager
def schedulers_for(
    settings: Settings,
    node: str,
    loop: LoopThread,
    emit: Emit,
    *,
    may_host: bool = False,
    ended: Ended = lambda _: None,
) -> Iterator[tuple[tuple[Scheduled, ...], HostedScheduler | None]]:
    """The schedulers of the settings. Over Redis each node has one of its own. With `may_host`, the machine that the
    first place names has one, too, unless somebody listens there already. `ended` is called when the work of such a one
    is over. Raises UsageError where no place is named."""
    from orchestrator.swarm.control.line import LocalScheduler

    where = settings.fleet_control
    if where is None:
        raise UsageError(
            "where is the scheduler of the fleet? None is named",
            hint="--scheduler HOST:PORT, GLM_ARIA_FLEET, or [fleet] control in the settings",
        )
    with contextlib.ExitStack() as stack:
        if "://" in where:
            board = board_at(where, needed_keys(settings))
            stack.callback(board.close)
            scheduler, work = scheduler_over(board, loop, emit, settings.fleet_site)
            work.add_done_callback(ended)
            stack.callback(work.cancel)
            yield (LocalScheduler(scheduler, redacted(where)),), None
            return
        own = None
        if may_host and (listen := own_place(where.partition(",")[0])) is not None:
            with contextlib.suppress(CannotCreateError):  # another process of this machine has it
                board = board_at(None, needed_keys(settings))
                named = parse_place(where.partition(",")[0]).host
                own = stack.enter_context(hosted(settings, board, listen, loop, emit, hosts=(named,)))
                own.work.add_done_callback(ended)
        others = remote_schedulers(settings, where, node)
        here = f"this machine, which plans for all that name {where.partition(',')[0]}"
        yield ((LocalScheduler(own.scheduler, here),) if own else others), own


@contextlib.contextmanager
def calling(settings: Settings, emit: Emit) -> Iterator[Calling]:
    """Calls to the fleet of the settings."""
    with event_loop() as loop, schedulers_for(settings, "operator", loop, emit) as (schedulers, _):
        yield Calling(loop, schedulers)


@dataclass(frozen=True, slots=True)
class Calling:
    """Calls to the first scheduler that answers."""

    loop: LoopThread
    schedulers: tuple[Scheduled, ...]

    def do(self, call: Callable[[FleetCalls], Coroutine[Any, Any, T]], stop: Stop) -> T:
        """The answer to a call. Raises what the last scheduler says, Interrupted."""
        return waited(self.loop.run(self.ask(call)), stop)

    async def ask(self, call: Callable[[FleetCalls], Coroutine[Any, Any, T]]) -> T:
        """The same, in the event loop."""
        for scheduler in self.schedulers[:-1]:
            with contextlib.suppress(TemporaryError):
                async with scheduler.calls() as calls:
                    return await call(calls)
        async with self.schedulers[-1].calls() as calls:
            return await call(calls)


def own_place(place: str) -> str | None:
    """The address to listen at, if the place is one of this machine's and free."""
    found = parse_place(place)
    try:
        address = socket.getaddrinfo(found.host, found.port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return None
    family, host = address[0], str(address[4][0])
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, found.port or 0))
        except OSError:  # another machine has the address, or a scheduler runs there
            return None
    if is_this_machine(host) and not is_this_machine(found.host):
        # The own name of a machine is often one of loopback, by which others do not reach it.
        host = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - the name was given for others
    return str(replace(found, host=host))
