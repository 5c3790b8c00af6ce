"""Sources that have a part only, ranges that somebody waits for, bytes that are taken back: first as rules, on plain
values, then with a real aria2c."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import cast

import pytest

from orchestrator.aria2.control import BLOCK, FINE_PIECE
from orchestrator.core.extents import Extent, Extents, Range, Ranges, intersect, union
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin
from orchestrator.errors import SourcesDownError
from orchestrator.transfer import journal
from orchestrator.transfer.active import Slot
from orchestrator.transfer.assign import Assigner, Opened, Pick
from orchestrator.transfer.interface import Fetched, Lost, Moved, Need, Paused, TakenBack, TransferEvent, Uri
from orchestrator.transfer.limits import Budget, TransferLimits
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.spans import Span
from orchestrator.transfer.supply import Supplier, Supply
from tests.hub.content import MIB, generate
from tests.hub.shaping import Shape
from tests.transfer.world import MakeWorld, World, begin, in_order

SIZE = 64 * MIB


def supply(name: str, rate: float | None = 1e6, reach: Ranges | None = None) -> Supply:
    server = Server(name, start=16, most=64)
    server.met(0.05)
    server.each = rate
    return Supply(server, Uri(name, f"http://{name}/file"), reach)


_digits = itertools.count()


def slot_of(part: Path, *supplies: Supply, here: Ranges = (), size: int = SIZE) -> Slot:
    part.touch()
    origin = Origin(RepoId(RepoType.MODEL, "org/m"), "c" * 40, "file")
    job = Job(Digest(Algorithm.SHA256, f"{next(_digits):064x}"), size, True, (origin,))
    slot = Slot(job, part, is_prepared=True, _is_reserved=True)
    slot.extents = Extents().put(Extent(start, end, "before") for start, end in here)
    slot.supplies = {one.source: one for one in supplies}
    return slot


def round_of(*slots: Slot, budget: int = 64, pick: Pick = in_order) -> Assigner:
    limits = TransferLimits(budget=budget)
    return Assigner(slots, Budget.of(limits, has_big=True, has_small=False), limits, pick)


def assign(slot: Slot, budget: int = 64) -> list[Opened]:
    assigner = round_of(slot, budget=budget)
    opened = [*assigner.assign(slot), *assigner.assign(slot, tails=True)]
    for number, span in enumerate(slot.spans):
        span.gid = span.gid or f"{number}"
    return opened


def ranges_of(opened: list[Opened], source: str) -> list[Range]:
    return [(span.start, span.end) for _, span, _ in opened if span.source == source]


def moved(span: Span, position: int, rate: float = 1e6) -> None:
    span.position, span.rate = position, rate


def is_within(ranges: list[Range], reach: Ranges) -> bool:
    return union(ranges) == tuple(intersect(union(ranges), reach))


def test_a_source_is_asked_for_what_it_has_only(tmp_path: Path) -> None:
    reach = ((8 * MIB, 12 * MIB), (40 * MIB, 44 * MIB))
    slot = slot_of(tmp_path / "part", supply("peer", reach=reach))
    ranges = ranges_of(assign(slot), "peer")
    assert ranges
    assert is_within(ranges, reach)


def test_a_courier_is_sent_to_who_has_all_that_he_brings(tmp_path: Path) -> None:
    """Also what is here already, between the gaps."""
    ends = ((0, MIB), (SIZE - MIB, SIZE))
    some, all_ = supply("some", reach=ends), supply("all")
    for one in (some, all_):
        one.is_carried = True
    slot = slot_of(tmp_path / "part", some, here=((MIB, SIZE - MIB),))
    assert not assign(slot)
    slot.supplies["all"] = all_
    assert [(span.source, span.start, span.end) for _, span, _ in assign(slot)] == [("all", 0, SIZE)]


def test_who_has_nothing_gets_nothing_and_takes_no_share(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("none", 9e6, reach=()), supply("root", 1e5))
    opened = assign(slot)
    assert not ranges_of(opened, "none")
    assert ranges_of(opened, "root")


@pytest.mark.parametrize("rates", [(1e6, 1e6, 1e6), (1e4, 5e6, 4e6), (None, 1e6, None), (1e9, 1e3, 1e3)])
def test_what_one_source_alone_has_is_fetched_from_it_however_slow_it_is(
    tmp_path: Path, rates: tuple[float | None, ...]
) -> None:
    """Shares that are worth no request are left to the fastest one, which may not have them."""
    thirds: tuple[Ranges, ...] = tuple(((at * MIB, (at + 1) * MIB),) for at in range(3))
    supplies = [supply(f"s{at}", rate, third) for at, (rate, third) in enumerate(zip(rates, thirds, strict=True))]
    slot = slot_of(tmp_path / "part", *supplies, size=3 * MIB)
    for _ in range(100):
        for _, span, _ in assign(slot):
            assert is_within([(span.start, span.end)], slot.supplies[span.source].reach or ())
        for span in list(slot.spans):
            span.position = span.end
            slot.close_span(span)
        if slot.is_complete:
            break
    assert slot.is_complete


def test_tails_are_taken_over_by_who_has_them(tmp_path: Path) -> None:
    slow, peer = supply("slow", 1e4), supply("peer", 1e7, ((0, 32 * MIB),))
    slot = slot_of(tmp_path / "part", slow, here=((0, SIZE - MIB // 4),))
    assert ranges_of(assign(slot), "slow")
    assert not slot.unassigned()
    for span in slot.spans:
        moved(span, span.start + BLOCK, 1e4)
    slot.supplies["peer"] = peer
    assigner = round_of(slot)
    assert not list(assigner.assign(slot, tails=True))
    assert not assigner.leaving
    peer.reach = ((62 * MIB, SIZE),)
    assigner = round_of(slot)
    list(assigner.assign(slot, tails=True))
    assert assigner.leaving, "now it has them, and is a thousand times as fast"


def test_a_source_stands_in_for_what_it_has(tmp_path: Path) -> None:
    leased, whole = supply("leased", reach=((0, 8 * MIB),)), supply("whole")
    peer, other = supply("peer", reach=((0, 4 * MIB),)), supply("other", reach=((0, 16 * MIB),))

    def has_others(but: Supply, *those: Supply) -> bool:
        return Supplier.has_others({one.source: one for one in (but, *those)}, but)

    assert not has_others(leased, peer), "it has only half of that"
    assert not has_others(whole, peer, other)
    assert has_others(leased, peer, other)
    assert has_others(leased, whole)
    leased.reach = ()
    assert not has_others(leased, whole), "there is nothing to stand in for"


def test_what_is_waited_for_is_given_out_first(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("root", 1e6))
    slot.want(Need(first=((40 * MIB + 5, 42 * MIB + 5),)))
    (_, first, _), (_, second, _), *rest = assign(slot)
    assert (first.start, first.end) == (40 * MIB, 41 * MIB)
    assert second.start == 41 * MIB
    assert rest[0][1].start == 0, "and then the rest, from the front"


def test_only_what_is_wanted_is_fetched(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("root"))
    slot.want(Need(only=((5 * MIB + 1, 5 * MIB + 9), (SIZE - 3, SIZE))))
    opened = assign(slot)
    assert union(ranges_of(opened, "root")) == ((5 * MIB, 5 * MIB + FINE_PIECE), (SIZE - FINE_PIECE, SIZE))
    for _, span, _ in opened:
        assert not slot.is_at_rest
        span.position = span.end
        slot.close_span(span)
    assert slot.is_at_rest
    assert not slot.is_complete
    slot.want(Need())
    assert not slot.is_at_rest


def test_a_connection_is_freed_for_what_is_waited_for(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("root"))
    assign(slot, budget=4)
    assert len(slot.spans) == 4
    for span in slot.spans:
        moved(span, span.start + FINE_PIECE)
    slot.want(Need(first=((60 * MIB, 61 * MIB),)))
    assert not assign(slot, budget=4)
    assigner = round_of(slot, budget=4)
    assigner.make_way(slot, [slot])
    assert [span.is_leaving for span in slot.spans].count(True) == len(assigner.leaving) == 1
    assigner.make_way(slot, [slot])
    assert len(assigner.leaving) == 1, "one at a time"
    (left,) = assigner.leaving
    slot.close_span(left)
    ((_, span, _),) = assign(slot, budget=4)
    assert span.start == 60 * MIB


def test_a_connection_of_another_job_is_freed_unless_somebody_waits_for_it_too(tmp_path: Path) -> None:
    first, second = (slot_of(tmp_path / name, supply("root")) for name in ("first", "second"))
    assign(first, budget=1)
    moved(first.spans[0], FINE_PIECE)
    second.want(Need(first=((0, MIB),)))
    first.want(Need(first=((0, MIB),)))
    assigner = round_of(first, second, budget=1)
    assigner.make_way(second, [second, first])
    assert not assigner.leaving
    first.want(Need())
    assigner = round_of(first, second, budget=1)
    assigner.make_way(second, [second, first])
    assert assigner.leaving == first.spans


def test_a_connection_that_was_freed_is_waited_for(tmp_path: Path) -> None:
    first, *others = (slot_of(tmp_path / f"{n}", supply("root")) for n in range(3))
    assign(first, budget=4)
    for span in first.spans:
        moved(span, span.start + FINE_PIECE)
    for rounds in range(1, 3):
        for slot in others[:rounds]:
            slot.want(Need(first=((0, MIB),)))
        for _ in range(3):
            assigner = round_of(first, *others, budget=4)
            for slot in others:
                assigner.make_way(slot, [first, *others])
        assert [span.is_leaving for span in first.spans].count(True) == rounds, "one for each who waits"


def test_a_connection_that_has_just_begun_is_not_taken_away(tmp_path: Path) -> None:
    """At the start all ranges are short, since nobody knows the source: one ends soon, and loses nothing on its way."""
    first, second = (slot_of(tmp_path / name, supply("root")) for name in ("first", "second"))
    assign(first, budget=2)
    second.want(Need(first=((0, MIB),)))
    for seconds, stopped in ((0.1, 0), (2.0, 1)):
        for span in first.spans:
            span.begun = time.monotonic() - seconds
        assigner = round_of(first, second, budget=2)
        assigner.make_way(second, [second, first])
        assert len(assigner.leaving) == stopped


def test_each_reader_gets_a_connection_before_one_gets_two(tmp_path: Path) -> None:
    slots = [slot_of(tmp_path / f"{n}", supply("root", 1e5)) for n in range(4)]
    for slot in slots:
        slot.want(Need(first=((0, 8 * MIB),)))
    assigner = round_of(*slots, budget=6)
    opened = [one for slot in slots for one in assigner.assign(slot, awaited=True)]
    assert [span.start for _, span, _ in opened] == [0] * 4
    assert not [one for slot in slots for one in assigner.assign(slot, awaited=True)], "they have what they wait for"
    opened += [one for slot in slots for one in assigner.assign(slot)]
    assert len(opened) == 6


def test_nobody_is_stopped_where_a_connection_is_about_to_be_free(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("root"))
    assign(slot, budget=4)
    for span in slot.spans:
        moved(span, span.start + FINE_PIECE)
    moved(slot.spans[1], slot.spans[1].end - FINE_PIECE)
    slot.want(Need(first=((60 * MIB, 61 * MIB),)))
    assigner = round_of(slot, budget=4)
    assigner.make_way(slot, [slot])
    assert not assigner.leaving


@pytest.mark.parametrize(("ahead", "is_stopped"), [(0, False), (MIB // 2, False), (16 * MIB, True)])
def test_a_span_that_comes_late_to_what_is_waited_for_is_stopped(tmp_path: Path, ahead: int, is_stopped: bool) -> None:
    slot = slot_of(tmp_path / "part", supply("root"))
    span = slot.open_span("root", 0, 32 * MIB, time.monotonic())
    span.gid = "1"
    moved(span, MIB, 1e6)
    slot.want(Need(first=((MIB + ahead, MIB + ahead + MIB),)))
    assigner = round_of(slot, budget=1)
    assigner.make_way(slot, [slot])
    assert span.is_leaving is is_stopped
    assert assigner.leaving == [span] * is_stopped


def test_what_is_taken_back_is_fetched_again_only_when_nobody_writes_there_any_more(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("root"), here=((0, 16 * MIB),))
    assign(slot, budget=1)
    (span,) = slot.spans
    moved(span, span.start + MIB)
    span.end = span.start + MIB  # its tail was taken over, and what is on its way is still written
    late = (span.end, span.end + FINE_PIECE)
    slot.drop(((FINE_PIECE + 1, FINE_PIECE + 2), late))
    assert slot.in_the_way() == [span]
    slot.forget_dropped()
    assert not {FINE_PIECE, late[0]} & {start for start, _ in slot.unassigned()}, "it may still write there"
    assert slot.arrived().missing(SIZE)[0] == (FINE_PIECE, 2 * FINE_PIECE), "but it counts for nothing"
    slot.close_span(span)
    slot.forget_dropped()
    assert slot.unassigned()[0] == (FINE_PIECE, 2 * FINE_PIECE)
    assert (late[0], SIZE) in slot.unassigned()
    known = journal.load(slot.part, slot.job.digest, SIZE)
    assert known == slot.extents, "the journal forgets it as well"


def test_a_job_that_nobody_wants_opens_no_spans(tmp_path: Path) -> None:
    slot = slot_of(tmp_path / "part", supply("root"))
    assign(slot, budget=2)
    slot.is_pausing = True
    assert slot.in_the_way() == slot.spans
    assert not assign(slot)
    assert not slot.is_at_rest
    for span in list(slot.spans):
        slot.close_span(span)
    assert slot.is_at_rest
    slot.want(Need())
    assert not slot.is_at_rest
    assert assign(slot)


# -- with a real aria2c


def asked(world: World, face: str) -> list[Range]:
    """The ranges that a face was asked for, in order."""
    found = [re.fullmatch(r"bytes=(\d+)-(\d*)", one.range or "") for one in world.hub.log.requests(face=face)]
    return [(int(one[1]), int(one[2]) + 1 if one[2] else 0) for one in found if one]


def one_of(world: World) -> Job:
    (job,) = world.jobs.values()
    return job


def test_each_source_sends_its_part(make_world: MakeWorld) -> None:
    """A source that has the front, one that has the back, and one that has nothing, which is asked for nothing."""
    world = make_world({"big.safetensors": generate(24 * MIB, 1)})
    peers = {name: world.hub.mirror(name, shape=Shape(latency_s=0.01)) for name in ("front", "back", "none")}
    world.locator.sites = {name: peer.url for name, peer in peers.items()}
    world.locator.reaches = {"front": ((0, 10 * MIB),), "back": ((10 * MIB, 24 * MIB),), "none": ()}
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    ended = world.end(transfer)
    world.check(ended)
    assert cast(Fetched, ended["big.safetensors"]).sent == {"front": 10 * MIB, "back": 14 * MIB}
    assert not world.hub.log.requests(face="none")
    assert all(server.strikes == 0 and server.down is None for server in transfer.servers)


def test_a_job_waits_for_a_reach_that_grows(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(8 * MIB, 1)})
    world.locator.reaches = {"hub": ()}
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    for at in itertools.count():
        found = [one for one in world.step(transfer) if isinstance(one, Fetched | Lost)]
        if at == 5:
            assert not world.hub.log.requests(face="cdn")
            world.locator.reaches = {"hub": ((0, 3 * MIB),)}
        if at > 5 and world.locator.reaches:
            known = journal.load(world.part(one_of(world)), one_of(world).digest, 8 * MIB)
            if known and known.total == 3 * MIB:
                world.locator.reaches = {}
        if found:
            break
    world.check({found[0].job.name: found[0]})


def test_ranges_alone_leave_a_sparse_part_that_who_wants_the_rest_continues(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(32 * MIB, 1)})
    job, data = one_of(world), world.files["big.safetensors"]
    world.hub.faces["cdn"].shape = Shape(total_rate=32 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    wanted = ((0, 100), (20 * MIB + 7, 20 * MIB + 70))
    transfer.want(job, Need(only=wanted))
    told: list[TransferEvent] = []
    while not transfer.is_idle:
        told += world.step(transfer)
    told += world.inbox.take(0)
    (paused,) = [one for one in told if isinstance(one, Paused)]
    assert not [one for one in told if isinstance(one, Fetched | Lost)]
    assert paused.arrived.total == 2 * FINE_PIECE
    part = world.part(job)
    for start, end in wanted:
        assert part.read_bytes()[start:end] == data[start:end]
    assert part.stat().st_size == len(data)
    assert part.stat().st_blocks * 512 <= 4 * FINE_PIECE, "no room is taken for the rest"
    assert journal.load(part, job.digest, job.size) == paused.arrived
    world.hub.log.settle()
    assert world.hub.log.bytes_sent(face="cdn") <= 3 * FINE_PIECE, "a tail may come twice where the machine is busy"
    transfer.want(job, Need())
    ended = world.end(transfer)
    world.check(ended)
    world.hub.log.settle()
    assert world.hub.log.bytes_sent(face="cdn") <= 1.1 * len(data), "tails are taken over while they come"


def test_a_paused_job_goes_on_from_its_journal(make_world: MakeWorld) -> None:
    size = 24 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    job = one_of(world)
    world.hub.faces["cdn"].shape = Shape(total_rate=16 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    transfer.want(job, Need())
    done = 0
    while done < size // 3:
        done = max([done, *(one.arrived.total for one in world.step(transfer) if isinstance(one, Moved))])
    transfer.pause(job.digest)
    told: list[TransferEvent] = []
    while not transfer.is_idle:
        told += world.step(transfer)
    told += world.inbox.take(0)
    (paused,) = [one for one in told if isinstance(one, Paused)]
    assert size // 3 <= paused.arrived.total < size
    assert journal.load(world.part(job), job.digest, size) == paused.arrived
    assert not list(world.stage.glob("*.span-*"))
    world.hub.log.settle()
    transfer.want(job, Need())
    ended = world.end(transfer)
    world.check(ended)
    assert cast(Fetched, ended[job.name]).kept == paused.arrived
    world.hub.log.settle()
    assert world.hub.log.bytes_sent(face="cdn") <= 1.2 * size


def test_one_that_is_wanted_again_before_it_paused_just_goes_on(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(8 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    transfer = world.transfer()
    transfer.want(one_of(world), Need())
    while not any(isinstance(one, Moved) and one.arrived.total for one in world.step(transfer)):
        pass
    transfer.pause(one_of(world).digest)
    transfer.poll()
    transfer.want(one_of(world), Need())
    told: list[TransferEvent] = []
    world.check(world.end(transfer, told.append))
    assert not [one for one in told if isinstance(one, Paused)]


def test_dropped_bytes_come_again(make_world: MakeWorld) -> None:
    """Also those that a span is about to write."""
    size = 16 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    job = one_of(world)
    transfer.want(job, Need())
    seen: list[Moved] = []
    while not seen or seen[-1].arrived.total < size // 4:
        seen += [one for one in world.step(transfer) if isinstance(one, Moved)]
    gone = seen[-1].arrived.items[0]
    assert transfer.drop(job.digest, ((gone.start, gone.start + 1),))
    told: list[TransferEvent] = []
    world.check(world.end(transfer, told.append))
    (taken,) = [number for number, one in enumerate(told) if isinstance(one, TakenBack)]
    after = [one.arrived for one in told[taken:] if isinstance(one, Moved)]
    assert any(intersect(after[0].missing(size), ((gone.start, gone.start + 1),)))
    world.hub.log.settle()
    again = [one for one in asked(world, "cdn") if one[0] <= gone.start < one[1]]
    assert len(again) == 2
    assert not transfer.drop(job.digest, ((0, 1),)), "it has ended"


def test_what_is_waited_for_comes_from_the_back_of_a_file_at_once(make_world: MakeWorld) -> None:
    size = 64 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    world.hub.faces["cdn"].shape = Shape(latency_s=0.02, rate_per_connection=MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    job = one_of(world)
    transfer.want(job, Need())
    while not any(isinstance(one, Moved) and one.arrived.total > 4 * MIB for one in world.step(transfer)):
        pass
    back = (60 * MIB, 61 * MIB)
    transfer.want(job, Need(first=(back,)))
    begun = time.monotonic()
    while True:
        arrived = [one.arrived for one in world.step(transfer) if isinstance(one, Moved)]
        if arrived and not any(intersect(arrived[-1].missing(size), (back,))):
            break
    assert arrived[-1].total < size // 2
    assert time.monotonic() - begun < 10
    transfer.want(job, Need())


def test_a_job_that_somebody_waits_for_begins_before_others(make_world: MakeWorld) -> None:
    world = make_world({f"{n}.safetensors": generate(6 * MIB + n, n) for n in range(6)})
    world.hub.faces["cdn"].shape = Shape(total_rate=12 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=2, budget=2))
    for name, job in world.jobs.items():
        transfer.want(job, Need(first=((0, MIB),) if name.startswith("5") else ()))
    ended = world.end(transfer)
    world.check(ended)
    assert next(iter(ended)).startswith("5")


def test_sources_that_were_given_up_are_tried_again_when_they_are_forgiven(make_world: MakeWorld) -> None:
    world = make_world({"a.safetensors": generate(3 * MIB, 1)})
    job = next(iter(world.jobs.values()))
    transfer = world.transfer()
    begin(transfer, [job])
    transfer.poll()
    (server,) = transfer.servers
    server.down = SourcesDownError("down")
    assert isinstance(world.end(transfer)[job.name], Lost)
    transfer.forgive()
    begin(transfer, [job])
    world.check(world.end(transfer))
