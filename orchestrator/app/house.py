"""The house behind a server, composed from settings: its cache, its sources, and what brings files to clients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestrator.app.compose import mover_of, open_cache, open_shared, open_sources, sites_of, sweep
from orchestrator.app.peers.openness import open_to
from orchestrator.app.peers.this_node import Membership
from orchestrator.app.predicting.acting import conduct_of, expected_of, is_pulling
from orchestrator.app.predicting.current import current
from orchestrator.app.registry.facade import Facade, open_registry
from orchestrator.cache.cache import Cache
from orchestrator.depot.elsewhere import Elsewhere
from orchestrator.depot.locate import SourceLocator
from orchestrator.depot.mover import Mover
from orchestrator.depot.resident import Resident
from orchestrator.disk.locks import Patience
from orchestrator.events import Emit, Event, Evicted, Foreseen, Notice
from orchestrator.mirrors.sources import Sources
from orchestrator.serve.admin.commands import Commands
from orchestrator.serve.delivery.ahead import Ahead
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.delivery.delivery import Delivery
from orchestrator.serve.delivery.handed import Handed
from orchestrator.serve.delivery.prefetch import Prefetching
from orchestrator.serve.delivery.snippets import Snippets
from orchestrator.serve.delivery.waiting import Waiting
from orchestrator.serve.foresight.foresight import Acting, Foresight
from orchestrator.serve.foresight.sessions import ClientSessions
from orchestrator.serve.pages.board import Board
from orchestrator.serve.pages.condition import Examination
from orchestrator.serve.pages.fleet import SeeFleet
from orchestrator.serve.pages.intake import Intake
from orchestrator.serve.pages.looking import Looking
from orchestrator.serve.pages.traffic import Traffic
from orchestrator.serve.peer.face import PeerFace
from orchestrator.serve.stock.inquiries import Inquiries
from orchestrator.serve.stock.library import Library
from orchestrator.serve.stock.room import Room
from orchestrator.serve.stock.shelves import Shelves
from orchestrator.serve.stock.vouching import Vouching
from orchestrator.settings import Settings
from orchestrator.swarm.sharing.sharing import Sharing
from orchestrator.system.openings import Openings
from orchestrator.system.signals import Stop
from orchestrator.system.threads import passing_pool
from orchestrator.upkeep.contents import contents

_ASKING = 16
"""Threads that ask sites."""
_LOOKING = 16
"""Threads that ask the cache."""
_MAKING = 4
"""Threads that reserve room for blobs, and remove what has to go for that."""
_PATIENCE = 1.0
"""Seconds that the end of a file may take in a house for all: no byte comes twice for the sake of less."""
_PROVING = 2
"""Threads that hash what other programs put into the cache: that takes minutes, and nobody else shall wait for it."""
_READING = 16
"""Threads that read from the disk what is not in memory."""


@dataclass(frozen=True, slots=True)
class House:
    """The parts that the faces and the door of a server use; `peers` is a face for nodes of a fleet, if it belongs to
    one, and `facade` its registry, if it has one. `later` runs a call in a thread. `emit` takes warnings only: the
    phases of each request are no news."""

    inquiries: Inquiries
    delivery: Delivery
    commands: Commands
    board: Board
    foresight: Foresight
    peers: PeerFace | None
    state_dir: Path
    facade: Facade | None
    later: Callable[[Callable[[], None]], object]
    emit: Emit


@contextlib.contextmanager
def open_house(
    settings: Settings, stop: Stop, emit: Emit, *, is_own: bool, membership: Membership | None = None
) -> Iterator[House]:
    """Open the cache, the sources and the depot. With `is_own` the only clients are programs of the operator's. With a
    `membership` of a fleet it gives the other nodes what is here and what comes."""

    intake = Intake()

    def tell(event: Event) -> None:
        intake.take(event)
        if is_own or isinstance(event, Notice | Evicted | Foreseen):
            emit(event)

    def warn(event: Event) -> None:
        if isinstance(event, Notice | Evicted | Foreseen):
            tell(event)

    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(open_shared(settings, warn))
        cache = stack.enter_context(open_cache(settings, shared=shared))
        sources = stack.enter_context(open_sources(settings, cache.state_dir, stop))
        facade = None if is_own else open_registry(settings, cache.state_dir, sources.registries, warn)
        sites = sites_of(settings, sources, stop)
        sites = facade.sites(sites) if facade else sites
        library = Library(sites, sources, cache, policy=settings.policy, offline=settings.offline, emit=warn)
        handed = Handed(cache.state_dir)
        stack.callback(sweep, cache.staging)
        elsewhere = stack.enter_context(contextlib.closing(Elsewhere(sites, warn)))
        # What `run` brings is the user's own.
        shelves = Shelves(cache, elsewhere, warn, on_demand=not is_own, offline=settings.offline)
        most = None if is_own else settings.serve_max_size
        room = Room(cache, most=most, in_use=shelves.in_use, gone=shelves.gone, emit=warn)
        making = stack.enter_context(passing_pool(_MAKING, "room"))
        if not is_own:
            making.submit(room.shrink)
        arrivals = Arrivals(shelves, handed, room, making, for_all=is_own)
        if not is_own:
            # Not even under a name in a repo of somebody else's.
            cache.blobs.lends = cache.records.is_open
        sharing = stack.enter_context(_sharing(membership, cache, settings)) if membership else None
        resident = Resident(
            SourceLocator(sources, elsewhere, warn),
            sources,
            cache.staging,
            replace(_mover(settings, is_own=is_own), company=sharing),
            place=arrivals.place,
            is_placed=shelves.is_placed,
            emit=tell,
        )
        arrivals.fetch_by(stack.enter_context(resident).want, tell)
        asking = stack.enter_context(passing_pool(_ASKING, "ask"))
        looking = stack.enter_context(passing_pool(_LOOKING, "look"))
        reading = stack.enter_context(passing_pool(_READING, "read"))
        waiting = None
        if is_own and (openings := stack.enter_context(_openings())) is not None:
            waiting = Waiting(library, shelves, arrivals, openings=openings, looking=looking, emit=warn)
            # It is ours: the lock of what is placed.
            cache.blobs.patience = Patience(0)
        each = _ASKING if is_own else settings.serve_client_questions
        delivery = Delivery(
            library,
            shelves,
            arrivals,
            handed,
            Snippets(library, asking=asking, each=each),
            early=settings.serve_early == "safe",
            looking=looking,
            proving=stack.enter_context(passing_pool(_PROVING, "prove")),
            reading=reading,
            waiting=waiting,
            # In a cache of the user's own lies what was asked for.
            ahead=None if is_own else Ahead(arrivals),
        )
        inquiries = Inquiries(
            library,
            asking=asking,
            looking=looking,
            each=each,
            vouching=None if is_own else _vouching(settings, sources),
            own=facade.own if facade else None,
        )
        prefetching = Prefetching(inquiries, library, shelves, arrivals, room, making=making)
        commands = Commands(cache, arrivals, room, prefetching, making)
        foresight = stack.enter_context(_foresight(settings, cache, room, prefetching, looking, warn))
        board = Board(
            Traffic(),
            intake,
            Looking(
                Examination(
                    cache.layout.cache_dir,
                    cache.staging.folder,
                    fetches=lambda: resident.is_alive,
                    root_error=lambda: library.root_error,
                ),
                lambda: contents(cache),
                None if is_own else _see_fleet(settings, stop, warn, stack),
                partial(expected_of, settings, cache) if settings.predict_enabled else None,
                pool=looking,
                max_size=room.most,
                wanted=foresight.wanted.counts,
            ),
            is_gated=settings.serve_gated != "off",
        )
        peers = None
        if membership is not None and sharing is not None:
            peers = PeerFace(sharing, *membership, uploads=settings.fleet_uploads, looking=looking, reading=reading)
        yield House(
            inquiries,
            delivery,
            commands,
            board,
            foresight,
            peers,
            cache.state_dir,
            facade,
            looking.submit,
            warn,
        )


def _mover(settings: Settings, *, is_own: bool) -> Mover:
    mover = mover_of(settings)
    return mover if is_own else replace(mover, limits=replace(mover.limits, patience=_PATIENCE))


@contextlib.contextmanager
def _foresight(  # noqa: PLR0917 - what is here, what brings more, and who hears of it
    settings: Settings, cache: Cache, room: Room, prefetching: Prefetching, looking: Executor, emit: Emit
) -> Iterator[Foresight]:
    """Foresight as the settings say. What clients wanted is noted in any case."""
    acting = Acting(partial(current, settings), partial(is_pulling, cache.state_dir), conduct_of(settings))
    foresight = Foresight(ClientSessions(), cache, room, prefetching, acting, pool=looking, emit=emit)
    try:
        yield foresight
    finally:
        foresight.close()


def _vouching(settings: Settings, sources: Sources) -> Vouching | None:
    """The word of the root about closed repos, where it may be asked for it."""
    is_asked = settings.serve_gated != "off" and not settings.offline
    return Vouching(settings.root, sources.patient) if is_asked else None


def _see_fleet(settings: Settings, stop: Stop, emit: Emit, stack: contextlib.ExitStack) -> SeeFleet | None:
    """A look at the fleet of the settings, where they name its schedulers."""
    if settings.fleet_control is None:
        return None
    from orchestrator.app.fleet.showing import FleetShow

    return stack.enter_context(FleetShow(settings, stop, emit))


def _sharing(membership: Membership, cache: Cache, settings: Settings) -> Sharing:
    return Sharing(
        membership.me.node,
        cache.blobs,
        is_open=open_to(cache.records, membership.keys),
        wrong=lambda _digest, _piece, _sender: None,  # it asks no peer
        share_restricted=settings.fleet_share_restricted,
    )


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
