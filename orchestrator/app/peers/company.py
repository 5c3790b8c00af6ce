"""A pull in company: the other nodes of its fleet are sources of it, and it is one of theirs, as long as it runs."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.app.peers.keys import needed_keys
from orchestrator.app.peers.openness import open_to
from orchestrator.app.peers.peering import PeerEntrance, peering
from orchestrator.app.peers.this_node import this_node
from orchestrator.cache.cache import Cache
from orchestrator.cache.identity import cache_id
from orchestrator.core.files import Digest
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import Doubt, Engine
from orchestrator.depot.watch import Watch
from orchestrator.errors import CannotCreateError, UsageError
from orchestrator.events import Emit, PeersKnown, Staying
from orchestrator.settings import Settings
from orchestrator.settings.values import PEER_PORT
from orchestrator.swarm.discovery import Announcement, Discovery, refuse_missing
from orchestrator.swarm.guides import Guide
from orchestrator.swarm.holdings import Peer
from orchestrator.swarm.peers.client import PeerClient, peer_net
from orchestrator.swarm.peers.locator import PeerLocator
from orchestrator.swarm.peers.neighbours import Neighbours
from orchestrator.swarm.peers.table import NeighbourView
from orchestrator.swarm.rendezvous import ALIVE_SECONDS, needing
from orchestrator.swarm.sharing.dispute import Others
from orchestrator.swarm.sharing.sharing import Sharing
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.unguided import Unguided
from orchestrator.swarm.units import Piece
from orchestrator.swarm.wire import About
from orchestrator.system.signals import Stop

if TYPE_CHECKING:
    from orchestrator.serve.server import ListenAddress

_MOST_ASKED = 64
"""Peers that are asked what they have: without control a node has to know all."""
_LOOK_SECONDS = 0.2
_ELSEWHERE = (
    "name an address of this machine and a free port for its peers, as in 0.0.0.0:8092: --peer-listen of pull, "
    "--listen of node, or fleet.listen in the settings"
)
_SURE_SECONDS = 1.0
"""For so long nobody may need anything before a node leaves others that still fetch: their news are on their way."""
_MOVING_SECONDS = 15.0
"""A peer that got nothing for so long, and is in no dispute, is not stayed for."""
Wrong = Callable[[Digest, Piece, str], None]


@dataclass(frozen=True, slots=True)
class SwarmCompany:
    """The `Company` of a depot that its `guide` leads: peers as sources, and what arrives for the peers."""

    guide: Guide
    sharing: Sharing
    peers: Neighbours
    share_restricted: bool

    def rests(self, digest: Digest) -> bool:
        """True while this node fetches nothing of a blob for others: they say that it altered bytes, and take nothing
        from it, or one of them settles a dispute over it."""
        table = self.peers.table
        return self.peers.client.me in table.distrusted or not self.sharing.settlers(digest).isdisjoint(table.live())

    def around(self, locator: Choosing) -> Choosing:
        """See `depot.company.Company`."""
        return PeerLocator(
            locator, self.guide, self.peers, alone=self.sharing.alone, share_restricted=self.share_restricted
        )

    def join(self, engine: Engine) -> None:
        """See `depot.company.Company`."""
        self.sharing.join(engine)
        self.peers.join(engine)

    def follow(self, watch: Watch) -> None:
        """See `depot.company.Company`."""
        self.sharing.follow(watch)
        self.peers.want(watch.job)

    def forget(self, digests: Collection[Digest]) -> None:
        """Ask nobody for these blobs any more."""
        self.peers.forget(digests)

    def doubt(self, digest: Digest, trusted: str) -> Doubt | None:
        """See `depot.company.Company`."""
        table = self.peers.table
        doubt = self.sharing.doubt(digest, trusted, Others(table.holders(digest), table.absent()))
        if doubt is not None and doubt.is_together:
            table.dispute(digest)
        return doubt


def passing_node(zone: str, cache: str = "") -> About:
    """This process as a node, of another name with each run. `cache` is the id of its cache."""
    return this_node(secrets.token_hex(8), zone=zone, cache=cache)


@contextlib.contextmanager
def company(settings: Settings, cache: Cache, stop: Stop, emit: Emit) -> Iterator[SwarmCompany]:
    """The company of a run without control: the peers of the settings, and those that are found on the local network.

    At the end of a run that was not stopped it stays for peers that need what this node alone has. Raises ConfigError
    without a key of the fleet or the libraries, CannotCreateError when nothing can listen.
    """
    keys = needed_keys(settings)
    if settings.fleet_lan:
        refuse_missing()
    me = passing_node(settings.fleet_zone, cache_id(cache.state_dir))
    found: list[Discovery] = []

    def among() -> Sequence[Peer]:
        named = [f"http://{place}" for place in settings.fleet_peers]
        seen = [address for discovery in found for address in discovery.addresses]
        return [Peer("", address) for address in dict.fromkeys([*named, *seen])]

    with contextlib.ExitStack() as stack:
        guide = Unguided(me.node, among, cache=me.cache)
        own = stack.enter_context(accompanied(me.node, guide, cache, keys, settings=settings, emit=emit))
        guide.see(own.peers.seen, own.sharing.checked, own.rests)
        address = stack.enter_context(reached(own.sharing, me, keys, settings, emit))
        if settings.fleet_lan:
            # Everybody on the network sees this, so it does not have the name of the node.
            said = Announcement(secrets.token_hex(8), address.host, address.port, keys.marks, address.scheme)
            found.append(stack.enter_context(Discovery(said, emit)))
        tell_peers(own.peers, address.url, emit)
        yield own
        stay(own, me.node, settings.fleet_linger, stop, emit)


@contextlib.contextmanager
def accompanied(
    node: str,
    guide: Guide,
    cache: Cache,
    keys: FleetKeys,
    *,
    settings: Settings,
    emit: Emit,
    wrong: Wrong = lambda *_: None,
) -> Iterator[SwarmCompany]:
    """The company of the depot of a node: what it shares, and the peers that its guide names. `wrong` is told who sent
    which altered piece."""
    restricted = settings.fleet_share_restricted

    def accuse(digest: Digest, piece: Piece, sender: str) -> None:
        peers.accuse(sender)
        wrong(digest, piece, sender)

    with contextlib.ExitStack() as stack:
        net = stack.enter_context(peer_net(settings.ca_bundle))
        sharing = stack.enter_context(
            Sharing(
                node,
                cache.blobs,
                is_open=open_to(cache.records, keys),
                wrong=accuse,
                share_restricted=restricted,
            )
        )
        peers = stack.enter_context(
            Neighbours(
                PeerClient(node, net, keys),
                guide.peers,
                sharing,
                emit=emit,
                most=_MOST_ASKED,
                zone=settings.fleet_zone,
            )
        )
        yield SwarmCompany(guide, sharing, peers, restricted)


@contextlib.contextmanager
def reached(sharing: Sharing, me: About, keys: FleetKeys, settings: Settings, emit: Emit) -> Iterator[ListenAddress]:
    """The server for peers, at the place of the settings; else at the usual port, or a free one where that is taken."""
    with contextlib.ExitStack() as stack:
        for listen in (settings.fleet_listen,) if settings.fleet_listen else (f"0.0.0.0:{PEER_PORT}", "0.0.0.0:0"):
            entrance = PeerEntrance(listen, settings.fleet_uploads, settings.fleet_hosts)
            try:
                address = stack.enter_context(peering(sharing, me, keys, entrance, emit))
                break
            except (CannotCreateError, UsageError) as error:
                if listen.endswith(":0") or settings.fleet_listen:
                    error.hint = _ELSEWHERE
                    raise
        yield address


def tell_peers(peers: Neighbours, address: str, emit: Emit) -> None:
    """Tell where this node is reached, and who shares with it, each time that this changes."""
    emit(PeersKnown(address, ()))
    lock, told = threading.Lock(), frozenset[str]()

    def look() -> None:
        nonlocal told
        with lock:
            now = frozenset(peers.table.live())
            if now != told:
                emit(PeersKnown(address, tuple(sorted(now)), tuple(sorted(told - now))))
            told = now

    peers.subscribe(look)


def _alive(peers: Neighbours) -> Mapping[str, NeighbourView]:
    since = time.monotonic() - ALIVE_SECONDS
    return {one.node: one for one in peers.seen() if one.is_trusted and one.heard >= since}


def awaited(own: SwarmCompany) -> bool:
    """True while peers are in a dispute over a blob that this node has proven."""
    return bool(own.sharing.whole(frozenset().union(*map(_disputed, _alive(own.peers).values()))))


def _disputed(one: NeighbourView) -> frozenset[Digest]:
    return frozenset(digest for digest, holding in one.holdings.items() if holding.claims and not holding.is_whole)


def moves(one: NeighbourView, now: float) -> bool:
    """True for a peer that got something lately, or waits for another one to settle a dispute, which takes as long as
    the whole blob does."""
    return bool(_disputed(one)) or any(when >= now - _MOVING_SECONDS for when in one.changed.values())


def stay(own: SwarmCompany, node: str, seconds: int, stop: Stop, emit: Emit) -> None:
    """Wait until no peer that moves needs what only this node has, for so many seconds at most."""
    began = needed = time.monotonic()
    told: frozenset[str] = frozenset()
    while not stop.is_set() and (now := time.monotonic()) < began + seconds:
        moving = {name: one.holdings for name, one in _alive(own.peers).items() if moves(one, now)}
        wanted = {digest for has in moving.values() for digest, one in has.items() if not one.is_whole}
        needy = needing(node, own.sharing.whole(wanted), moving)
        if not wanted or (not needy and now >= needed + _SURE_SECONDS):
            return
        if needy:
            needed = now
        if needy - told:
            told |= needy
            emit(Staying(tuple(sorted(needy)), seconds))
        stop.wait(_LOOK_SECONDS)
