"""A depot in company: peers as sources of its locator, and what is taken back of what they sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.extents import Extent, Extents, Ranges, covers, subtract
from orchestrator.core.files import Digest
from orchestrator.core.network.proxies import Proxies, parse_proxy
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, RangeAnswer, Source
from orchestrator.depot.candidates import Candidates, Choosing
from orchestrator.depot.company import OWN_MATTER, Doubt, Engine
from orchestrator.depot.messages import Proven
from orchestrator.depot.mover import NOWHERE, Mover
from orchestrator.depot.resident import Here, Resident
from orchestrator.depot.watch import State, Watch
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.small_files import FileRange, open_body
from orchestrator.transfer.interface import Admission, Terms, Uri
from tests.depot.world import House, MakeHouse, is_over, until
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.shaping import Shape

SIZE = 24 * MIB
BIG = {"big.safetensors": generate(SIZE, 1)}
PEER = "peer:b"


@dataclass
class OnePeer:
    """The company of a depot: one peer, which has some ranges; the hub may be asked for the rest."""

    house: House
    url: str
    offers: Ranges
    leased: Ranges | None
    engine: Engine | None = None
    watches: list[Watch] = field(default_factory=list)
    doubts: list[Doubt | None] = field(default_factory=list)
    inner: Choosing = field(init=False)

    def around(self, locator: Choosing) -> Choosing:
        self.inner = locator
        return self

    def join(self, engine: Engine) -> None:
        self.engine = engine

    def follow(self, watch: Watch) -> None:
        self.watches.append(watch)

    def doubt(self, digest: Digest, trusted: str) -> Doubt | None:
        return self.doubts.pop(0) if self.doubts else OWN_MATTER

    @property
    def choice(self) -> Candidates:
        return self.inner.choice

    def candidates(self, job: Job) -> tuple[str, ...]:
        return (*self.inner.candidates(job), *(() if self.choice.is_alone(job) else (PEER,)))

    def reach(self, job: Job, source: str) -> Ranges | None:
        return self.offers if source == PEER else None if self.choice.is_alone(job) else self.leased

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:
        return free[-1][0] if source == PEER else None

    def terms(self, source: str) -> Terms:
        return Terms(connections=2, rest=0.5, is_direct=True) if source == PEER else Terms(connections=4)

    def locate(self, job: Job, source: str) -> Uri:
        return Uri(source, self._url(job)) if source == PEER else self.inner.locate(job, source)

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        if source != PEER:
            return self.inner.fetch(job, source, start, end)
        wanted = FileRange(job.name, "org/m", job.size, start, end)
        return open_body(self.house.net, Source(PEER, self.url), self._url(job), wanted)[0]

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        if uri.source != PEER:
            return self.inner.inspect(job, uri, start, end)
        return ask_for_range(self.house.net, Source(PEER, self.url), uri.url, start, end)

    def reconnect(self) -> None:
        self.inner.reconnect()

    def _url(self, job: Job) -> str:
        return f"{self.url}/org/m/resolve/{self.house.repo.head}/{job.name}"


def company_of(house: House, offers: Ranges, leased: Ranges | None, **given: Any) -> OnePeer:
    url = house.hub.mirror("b", own_cdn=True, **given).url
    return OnePeer(house, url, offers, leased)


def proven_by(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> list[Proven]:
    """What the resident places."""
    found: list[Proven] = []
    place = resident._place

    def see(batch: Sequence[Here]) -> Any:
        found.extend(one for one in batch if isinstance(one, Proven))
        return place(batch)

    monkeypatch.setattr(resident, "_place", see)
    return found


def test_a_peer_is_a_source_by_its_name_and_nothing_is_remembered_of_it(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house({**BIG, "small.json": b"{}" * 1000})
    half = SIZE // 2
    peers = company_of(house, ((half, SIZE),), ((0, half),))
    resident = house.resident(company=peers)
    proven = proven_by(resident, monkeypatch)
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED, watch.error
    assert [one.sent for one in proven] == [{"hub": half, PEER: half}]
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.02 * half
    assert house.hub.log.bytes_sent(face="b-cdn") <= 1.05 * half
    with resident.want(house.job("small.json")) as small:
        until(small, is_over)
        assert small.state is State.PLACED, "half of the lease is all of it"
    resident.close()
    ((hub, (seen,)),) = house.stats.observed.items()
    assert (hub.name, seen.failed, seen.rate, seen.count) == ("hub", False, None, None)
    assert not house.stats.quarantined
    assert [watch.job.name for watch in peers.watches] == ["big.safetensors", "small.json"]


def test_what_a_peer_altered_is_taken_back_and_fetched_from_the_origin(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    half, piece = SIZE // 2, 4 * MIB
    bad = (half + piece, half + 2 * piece)
    fault = Fault("bit_flip", after_bytes=bad[0] + 77)
    peers = company_of(house, ((half, SIZE),), ((0, half),), cdn_faults=[fault])
    house.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    resident = house.resident(company=peers)
    with resident.want(house.job()) as watch:
        until(watch, lambda one: covers([(item.start, item.end) for item in one.arrived.items], (bad,)))
        epoch = watch.epoch
        assert {item.source for item in watch.arrived.items if item.start < bad[1] and item.end > bad[0]} == {PEER}
        peers.offers, peers.leased = tuple(subtract(peers.offers, (bad,))), ((0, half), bad)
        assert peers.engine is not None
        peers.engine.drop(watch.job.digest, (bad,), epoch=epoch)
        until(watch, is_over)
        assert watch.state is State.PLACED, watch.error
        assert watch.replaced(epoch) == (bad,)
    assert house.blob() == BIG["big.safetensors"]
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * (half + piece)
    assert not house.stats.quarantined


def test_what_a_peer_altered_unseen_is_found_by_the_digest_and_comes_from_the_origin(make_house: MakeHouse) -> None:
    """Without a word of its company: the dispute alone decides, and ends right."""
    house = make_house(BIG)
    half = SIZE // 2
    fault = Fault("bit_flip", after_bytes=half + 77)
    resident = house.resident(company=company_of(house, ((half, SIZE),), ((0, half),), cdn_faults=[fault]))
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED, watch.error
    assert house.blob() == BIG["big.safetensors"]
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 2.0 * SIZE


@pytest.mark.parametrize("is_together", [True, False])
def test_what_others_settle_is_waited_for_and_then_only_what_was_wrong_is_fetched_again(
    make_house: MakeHouse, is_together: bool
) -> None:
    house = make_house(BIG)
    half, piece = SIZE // 2, 4 * MIB
    bad = Extent(half + piece, half + 2 * piece, PEER)
    fault = Fault("bit_flip", after_bytes=bad.start + 77)
    peers = company_of(house, ((half, SIZE),), ((0, half),), cdn_faults=[fault])
    peers.doubts = [None, None, Doubt(Extents.of([bad]), is_together=is_together)]
    peers.leased = ((0, half), (bad.start, bad.end))
    resident = house.resident(company=peers)
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED, watch.error
    assert not peers.doubts
    assert house.blob() == BIG["big.safetensors"]
    house.hub.log.settle()
    sent = house.hub.log.bytes_sent(face="cdn") + house.hub.log.bytes_sent(face="b-cdn")
    assert sent <= 1.05 * SIZE + piece
    assert not house.stats.quarantined
    assert "mirror-lied" in house.heard.codes


@pytest.mark.parametrize("source", ["hub", PEER])
def test_peers_are_asked_past_the_proxy(make_house: MakeHouse, tmp_path: Path, source: str) -> None:
    house = make_house(BIG)
    peers = company_of(house, (), None)
    proxies = Proxies({"": parse_proxy("http://proxy.example:3128")})
    mover = Mover(house.daemons, proxies=proxies)
    given: Any = {"part": lambda _: tmp_path, "admit": lambda _: Admission.GO, "tell": lambda _: None}
    house.cache.staging.folder.mkdir(parents=True, exist_ok=True)
    with mover.open(peers, house.cache.staging.folder, wake=lambda: None, home=lambda _: NOWHERE, **given) as transfer:
        way = transfer._downloads._way(source)
    assert bool(way["http-proxy"]) is (source == "hub")
    assert set(way) >= {"http-proxy", "https-proxy", "all-proxy"}
