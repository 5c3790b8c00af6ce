"""Nodes of a fleet in one process: each with a cache, a depot with its own aria2c, a server for peers, and a hub."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.app.peers.company import SwarmCompany
from orchestrator.app.peers.peering import PeerEntrance, peering
from orchestrator.aria2.daemon import PrivateDaemon
from orchestrator.cache.cache import Cache
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.plan import Have, Job
from orchestrator.core.sources import Origin, Source
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import Doubt, Engine
from orchestrator.depot.locate import SourceLocator
from orchestrator.depot.messages import Proven
from orchestrator.depot.mover import Mover
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.depot.resident import Here, Resident
from orchestrator.depot.watch import Watch
from orchestrator.errors import GlmAriaError
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from orchestrator.swarm.guides import Guide
from orchestrator.swarm.holdings import Holdings, Peer
from orchestrator.swarm.peers.client import PeerClient, peer_net
from orchestrator.swarm.peers.neighbours import Neighbours
from orchestrator.swarm.sharing.sharing import Sharing
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.unguided import Unguided
from orchestrator.swarm.wire import About
from orchestrator.transfer.limits import TransferLimits
from tests import plain
from tests.depot.world import REPO
from tests.hub.content import MIB
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.plain import Heard

KEYS = FleetKeys.parse("a-key-of-a-fleet-for-tests")
CANARY = "hf_canaryOfTheHub"


@dataclass
class Nobody:
    """A guide that has others for peers, and gives `share` of each blob to this node: all of it unless told."""

    among: Callable[[], Sequence[Peer]]
    share: Ranges | None = None

    def origin(self, _job: Job) -> Ranges | None:
        return self.share

    def peers(self) -> Sequence[Peer]:
        return self.among()


@dataclass
class FleetNode:
    """A node; as a company of its depot it is what `app` makes."""

    name: str
    cache: Cache
    sharing: Sharing
    peers: Neighbours
    guide: Guide
    address: str
    heard: Heard
    resident: Resident = field(init=False)

    @property
    def company(self) -> SwarmCompany:
        return SwarmCompany(self.guide, self.sharing, self.peers, share_restricted=False)

    def around(self, locator: Choosing) -> Choosing:
        return self.company.around(locator)

    def join(self, engine: Engine) -> None:
        self.company.join(engine)

    def doubt(self, digest: Digest, trusted: str) -> Doubt | None:
        return self.company.doubt(digest, trusted)

    def follow(self, watch: Watch) -> None:
        self.company.follow(watch)


class Fleet:
    """A hub with one repo, and nodes that know each other."""

    def __init__(self, stack: ExitStack, folder: Path, runtime: Path, files: Mapping[str, bytes]) -> None:
        self.stack, self.folder, self.runtime, self.files = stack, folder, runtime, dict(files)
        self.repo = Repo("model", "org/m", self.files)
        self.hub = stack.enter_context(LoopbackHub([self.repo], tokens={CANARY: {"org/m"}}))
        credentials = Credentials(CANARY, frozenset({self.hub.url.removeprefix("http://")}))
        limits = Limits(connect=2, read=4, deadline=5, attempts=1)
        self.net = stack.enter_context(Net(credentials, limits=limits))
        self.sources = [Source("hub", self.hub.url, is_root=True)]
        self.listing = {path: self._file(path, data) for path, data in files.items()}
        self.nodes: list[FleetNode] = []
        self.strangers: list[Peer] = []

    @staticmethod
    def _file(path: str, data: bytes) -> RepoFile:
        return RepoFile(path, len(data), Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest()), is_lfs=True)

    def job(self, path: str) -> Job:
        file = self.listing[path]
        return Job(file.digest, file.size, file.size > MIB, (Origin(REPO, self.repo.head, path),))

    def mirror(self, name: str, **given: Any) -> None:
        """Add a mirror, for nodes that are made after this."""
        self.sources.append(Source(name, self.hub.mirror(name, **given).url))

    def others(self, name: str) -> Sequence[Peer]:
        known = (Peer(node.name, node.address) for node in self.nodes if node.name != name)
        return (*known, *self.strangers)

    def node(
        self,
        *,
        guide: Callable[[Callable[[], Sequence[Peer]]], Guide] | None = None,
        disguise: Callable[[Holdings], Holdings] = lambda holdings: holdings,
    ) -> FleetNode:
        """One more node. Without a `guide` it shares out the origin with the others by rendezvous. `disguise` is what
        its server gives."""
        name = f"node-{len(self.nodes)}"
        stack, heard = self.stack, Heard()
        cache = stack.enter_context(plain.cache(self.folder / name))
        accuse: list[Callable[[str], None]] = []
        sharing = stack.enter_context(
            Sharing(
                name,
                cache.blobs,
                is_open=lambda _: True,
                wrong=lambda _digest, _piece, peer: accuse[0](peer),
            )
        )

        def among() -> Sequence[Peer]:
            return self.others(name)

        chosen = guide(among) if guide else Unguided(name, among)
        client = PeerClient(name, stack.enter_context(peer_net()), KEYS)
        peers = stack.enter_context(Neighbours(client, chosen.peers, sharing, emit=heard, most=8))
        accuse.append(peers.accuse)
        if isinstance(chosen, Unguided):
            chosen.see(peers.seen, sharing.checked, SwarmCompany(chosen, sharing, peers, share_restricted=False).rests)
        about, entrance = About(name, time.time_ns()), PeerEntrance("127.0.0.1:0")
        address = stack.enter_context(peering(disguise(sharing), about, KEYS, entrance, heard))
        node = FleetNode(name, cache, sharing, peers, chosen, address.url, heard)
        sources = plain.sources(*self.sources, stats=plain.PlainStats(), net=self.net)
        node.resident = Resident(
            SourceLocator(sources, OtherCatalogs((), plain.sites(), heard), heard),
            sources,
            cache.staging,
            Mover(lambda: PrivateDaemon(self.runtime, concurrency=64), TransferLimits(), company=node),
            place=lambda batch: self._place(cache, batch),
            is_placed=lambda job: self._is_placed(cache, job),
            emit=heard,
        )
        stack.callback(node.resident.close)
        self.nodes.append(node)
        return node

    def _place(self, cache: Cache, batch: Sequence[Here]) -> Mapping[Digest, GlmAriaError]:
        by_digest = {file.digest: file for file in self.listing.values()}
        proven = [one for one in batch if isinstance(one, Proven)]
        cache.blobs.place(REPO, self.repo.head, [(one.file, by_digest[one.job.digest]) for one in proven])
        return {}

    def _is_placed(self, cache: Cache, job: Job) -> bool:
        return cache.blobs.find(REPO, [self.listing[job.name]])[job.digest].have is Have.PLACED

    def want(self, node: FleetNode, *paths: str) -> list[Watch]:
        return [node.resident.want(self.job(path)) for path in paths or self.files]

    def blob(self, node: FleetNode, path: str) -> bytes:
        return node.cache.layout.blob(REPO, self.listing[path].digest).read_bytes()

    @property
    def egress(self) -> float:
        """Bytes that the origin sent, of those of all files."""
        return self.hub.log.bytes_sent() / sum(map(len, self.files.values()))


MakeFleet = Callable[[Mapping[str, bytes]], Fleet]


def until_over(*watches: Watch, seconds: float = 90.0) -> None:
    """Wait until all have ended."""
    deadline = time.monotonic() + seconds
    for watch in watches:
        seen = -1
        while not watch.has_ended:
            assert time.monotonic() < deadline, (watch.job.name, watch.state, watch.arrived)
            seen = watch.wait(seen, 1.0)
