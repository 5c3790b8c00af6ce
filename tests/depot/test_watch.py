"""Watches that want nothing, and bytes that are taken back: first by themselves, then through a depot."""

from __future__ import annotations

import threading
from pathlib import Path

from orchestrator.aria2.control import FINE_PIECE
from orchestrator.core.extents import Extent, Extents, Ranges, covers
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.depot.watch import Arrival, State, Watch
from orchestrator.transfer.limits import TransferLimits
from tests.depot.world import MakeHouse, is_over, until
from tests.hub.content import MIB, generate
from tests.hub.shaping import Shape

SIZE = 24 * MIB
BIG = {"big.safetensors": generate(SIZE, 1)}
FEW = TransferLimits(connections_per_mirror=4)
HALF: Ranges = ((0, SIZE // 2),)


def arrival_of(size: int = 100) -> Arrival:
    job = Job(Digest(Algorithm.SHA256, "ab" * 32), size, True, ())
    return Arrival(job, lambda _: Path("part"), threading.Lock())


def watch_of(arrival: Arrival, only: Ranges | None = None) -> Watch:
    watch = Watch(arrival, lambda _: None, only)
    arrival.watches.append(watch)
    return watch


def test_a_watch_knows_which_bytes_were_replaced_since_an_epoch() -> None:
    arrival = arrival_of()
    watch = watch_of(arrival)
    arrival.grow(Extents((Extent(0, 60, "a"),)))
    arrival.take_back(((10, 20),))
    first = watch.epoch
    arrival.take_back(((15, 30),))
    assert watch.arrived.missing(60) == ((10, 30),)
    assert watch.replaced(0) == ((10, 30),)
    assert watch.replaced(first) == ((15, 30),)
    assert watch.replaced(watch.epoch) == ()
    arrival.take_back()
    assert watch.replaced(first) == ((0, 100),)
    assert not watch.arrived.total


def test_less_than_before_is_all_replaced() -> None:
    arrival = arrival_of()
    watch = watch_of(arrival)
    arrival.grow(Extents((Extent(0, 60, "a"),)))
    arrival.grow(Extents((Extent(0, 20, "a"),)))
    assert watch.replaced(0) == ((0, 100),)
    assert watch.arrived.total == 20


def test_who_watches_only_wants_nothing() -> None:
    arrival = arrival_of()
    passive = watch_of(arrival, ())
    assert not arrival.is_wanted
    some = watch_of(arrival, ((0, 10),))
    assert arrival.is_wanted
    assert arrival.need.only == ((0, 10),)
    some.close()
    assert not arrival.is_wanted
    passive.want(((5, 6),))
    assert arrival.is_wanted, "it waits for something now"


def test_a_passive_watch_starts_nothing_and_sees_what_others_fetch(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    resident = house.resident(limits=FEW)
    passive = resident.want(house.job(), ranges=())
    resident.drop(house.job().digest, HALF)
    with resident.want(house.job(), ranges=()) as other:
        seen = other.version
        assert other.wait(seen, 0.3) == seen
    assert other.state is State.WAITING
    assert not house.daemons.made or house.daemons.made[-1].pid is None
    with resident.want(house.job()) as watch:
        until(watch, is_over)
    assert passive.state is State.PLACED
    assert house.blob() == BIG["big.safetensors"]


def test_a_passive_watch_keeps_nothing_that_nobody_wants(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=24 * MIB)
    resident = house.resident(limits=FEW)
    passive = resident.want(house.job(), ranges=())
    watch = resident.want(house.job())
    until(watch, lambda one: one.arrived.total >= SIZE // 4)
    epoch = passive.epoch
    watch.close()
    until(passive, lambda one: one.state is State.WAITING)
    assert not passive.arrived.total
    assert passive.replaced(epoch) == ((0, SIZE),), "another process may write there from now on"
    claim = house.cache.staging.claim(house.job().digest)
    assert claim is not None
    claim.release()
    with resident.want(house.job()) as again:
        until(again, is_over)
        assert again.state is State.PLACED
    assert passive.state is State.PLACED
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.2 * SIZE, "what was on its way comes twice"


def test_what_is_dropped_comes_again_and_a_late_verdict_counts_for_nothing(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=12 * MIB)
    resident = house.resident(limits=FEW)
    watch = resident.want(house.job())
    piece: Ranges = ((0, FINE_PIECE),)
    until(watch, lambda one: covers(((0, one.arrived.prefix),), piece))
    before = watch.epoch
    resident.drop(house.job().digest, piece, epoch=before)
    until(watch, lambda one: one.epoch > before)
    assert watch.replaced(before) == piece
    resident.drop(house.job().digest, piece, epoch=before)
    until(watch, is_over)
    assert watch.state is State.PLACED
    assert watch.epoch == before + 1
    assert house.blob() == BIG["big.safetensors"]
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.2 * SIZE


def test_what_is_dropped_of_a_job_that_rests_comes_again(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    resident = house.resident(limits=FEW)
    with resident.want(house.job(), ranges=HALF) as watch:
        until(watch, lambda one: covers([(item.start, item.end) for item in one.arrived.items], HALF))
        before = watch.epoch
        resident.drop(house.job().digest, ((MIB, 2 * MIB),), epoch=before)
        until(watch, lambda one: one.epoch > before)
        until(watch, lambda one: one.arrived.total >= SIZE // 2)
    house.hub.log.settle()
    assert SIZE // 2 + MIB <= house.hub.log.bytes_sent(face="cdn") <= SIZE // 2 + 2 * MIB
