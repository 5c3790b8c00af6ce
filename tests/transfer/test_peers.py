"""Peers and a leased origin: what is judged by the reach of sources, and how they are asked. First as rules, on plain
values, then with a real aria2c."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.core.extents import Ranges
from orchestrator.core.plan import Job
from orchestrator.errors import TemporaryError
from orchestrator.transfer import supply as supply_module
from orchestrator.transfer.active import Slot, Slots
from orchestrator.transfer.endings import Endings
from orchestrator.transfer.interface import Fetched, Lost, Moved, Need, Terms, TransferEvent
from orchestrator.transfer.jobs import JobEvent, JobState
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.spans import Span
from orchestrator.transfer.supply import Supply
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.shaping import Shape
from tests.transfer.test_reach import assign, ranges_of, round_of, slot_of, supply
from tests.transfer.world import Addresses, MakeWorld, World

SIZE = 64 * MIB
LEASED: Ranges = ((0, 8 * MIB),)
NOW = 1000.0
PIECE = 4 * MIB


def known(name: str, rate: float, reach: Ranges | None) -> Supply:
    """A source that brought so much for a while."""
    made = supply(name, rate, reach)
    made.server.rate, made.server._windows = rate, 5
    return made


def flowing(slot: Slot, source: str, start: int, end: int, *, silent: float = 0.1, rate: float = 1e6) -> Span:
    """A span that brought its last byte `silent` seconds ago."""
    span = slot.open_span(source, start, end, NOW - 60)
    span.gid = f"{source}{start}"
    span.position, span.moved, span.rate, span.last_rate = start + MIB, NOW - silent, rate, rate
    return span


def due(slot: Slot, now: float = NOW) -> list[Span]:
    """The spans of the job that are to end now."""
    slots = Slots()
    slot.state = JobState.WAITING
    slots.add(slot)
    for event in (JobEvent.START, JobEvent.LOCATED):
        slots.on(slot, event)
    servers = {one.source: one.server for one in slot.supplies.values()}
    supplier: Any = SimpleNamespace(servers=servers, reconnect=lambda: None, line=SimpleNamespace(moved=now))
    downloads: Any = SimpleNamespace(carried={})
    endings = Endings(slots, supplier, downloads, lambda _: None)
    return list(endings.due(now, [(slot, span) for span in slot.spans]))


def test_a_slow_origin_is_judged_by_who_could_bring_the_same(tmp_path: Path) -> None:
    origin, peer = known("origin", 1e4, LEASED), known("peer", 1e8, ((16 * MIB, 32 * MIB),))
    slot = slot_of(tmp_path / "part", origin, peer)
    slow = flowing(slot, "origin", 0, 8 * MIB, rate=1e4)
    flowing(slot, "peer", 16 * MIB, 32 * MIB)
    assert not due(slot)
    assert not origin.server.resting_until
    peer.reach = ((0, 32 * MIB),)
    assert due(slot) == [slow], "now the peer has what it still has to bring"
    assert origin.server.resting_until


def test_two_origins_are_compared_with_each_other_and_not_with_peers(tmp_path: Path) -> None:
    root, mirror = known("root", 1e6, LEASED), known("mirror", 3e6, LEASED)
    slot = slot_of(tmp_path / "part", root, mirror, known("peer", 1e9, ((8 * MIB, SIZE),)))
    slow = flowing(slot, "root", 0, 4 * MIB)
    flowing(slot, "mirror", 4 * MIB, 8 * MIB)
    assert not due(slot)
    root.server.rate, root.server.each = 1e4, 1e2
    assert due(slot) == [slow]


@pytest.mark.parametrize(("silent", "is_over"), [(0.9, False), (4.0, True), (25.0, True), (90.0, True)])
def test_a_silent_origin_that_alone_may_be_asked_is_asked_again_and_never_blamed(
    tmp_path: Path, silent: float, is_over: bool
) -> None:
    origin, peer = known("origin", 1e6, LEASED), known("peer", 1e8, ((16 * MIB, 32 * MIB),))
    slot = slot_of(tmp_path / "part", origin, peer)
    spans = [flowing(slot, "origin", start * MIB, (start + 4) * MIB, silent=silent) for start in (0, 4)]
    flowing(slot, "peer", 16 * MIB, 32 * MIB)
    found = due(slot)
    assert bool(found) is is_over
    assert len(found) <= (2 if silent > 20 else 1), "one is opened again to see whether it is back"
    assert set(map(id, found)) <= set(map(id, spans))
    assert not origin.server.strikes
    assert origin.server.down is None
    assert not origin.server.not_before


def test_a_silent_peer_gives_its_range_to_another_one_that_has_it(tmp_path: Path) -> None:
    dead, other = known("dead", 1e6, LEASED), known("other", 1e6, LEASED)
    slot = slot_of(tmp_path / "part", dead, other)
    silent = flowing(slot, "dead", 0, 4 * MIB, silent=3.5)
    flowing(slot, "other", 4 * MIB, 8 * MIB)
    assert due(slot) == [silent]
    assert dead.server.strikes == 1


def test_a_span_whose_range_may_not_be_asked_for_any_more_ends(tmp_path: Path) -> None:
    origin = known("origin", 1e6, LEASED)
    slot = slot_of(tmp_path / "part", origin)
    first, second = flowing(slot, "origin", 0, 4 * MIB), flowing(slot, "origin", 4 * MIB, 8 * MIB)
    origin.reach = ((2 * MIB, 6 * MIB),)
    assert due(slot) == [first, second]
    origin.reach = ((MIB, 8 * MIB),)
    assert not due(slot), "what it brought already does not matter"


def test_a_source_at_rest_is_asked_for_what_nobody_else_has(tmp_path: Path) -> None:
    origin, peer = known("origin", 1e4, LEASED), known("peer", 1e8, ((4 * MIB, 32 * MIB),))
    origin.server.resting_until = time.monotonic() + 60
    slot = slot_of(tmp_path / "part", origin, peer)
    assert ranges_of(assign(slot), "origin")
    peer.reach = ((0, 32 * MIB),)
    other = slot_of(tmp_path / "other", origin, peer)
    assert not ranges_of(assign(other), "origin")


def test_nothing_of_a_lease_comes_twice_for_the_sake_of_its_end(tmp_path: Path) -> None:
    """Neither over an idle connection to the origin, nor from a peer that has other pieces."""
    origin, peer = known("origin", 1e4, LEASED), known("peer", 1e8, ((16 * MIB, 17 * MIB),))
    slot = slot_of(tmp_path / "part", origin, peer, here=((8 * MIB, SIZE),))
    span = flowing(slot, "origin", 0, 8 * MIB, rate=1e4)
    origin.server.bind(Terms(connections=4))
    assigner = round_of(slot)
    assert not list(assigner.assign(slot, tails=True))
    assert not assigner.leaving
    assert (span.start, span.end) == (0, 8 * MIB)
    peer.reach = ((0, 17 * MIB),)
    assigner = round_of(slot)
    list(assigner.assign(slot, tails=True))
    assert assigner.leaving == [span]


def test_ranges_of_a_lease_are_worth_their_requests(tmp_path: Path) -> None:
    origin = supply("origin", 1e5, ((0, 4 * MIB), (32 * MIB, 36 * MIB)))
    origin.server.bind(Terms(connections=8))
    slot = slot_of(tmp_path / "part", origin)
    sizes = [end - start for start, end in ranges_of(assign(slot), "origin")]
    assert sizes
    assert min(sizes) >= MIB


def test_a_picked_range_is_whole_pieces_and_no_longer_than_comes_soon(tmp_path: Path) -> None:
    asked: list[Ranges] = []

    def pick(_job: object, source: str, free: Ranges) -> int:
        asked.append(free)
        return free[-1][0] + PIECE

    fast, slow, new = (supply(name, rate, ((0, SIZE),)) for name, rate in (("fast", 1e9), ("slow", 1e5), ("new", None)))
    for one, length in ((fast, 16 * MIB), (slow, PIECE), (new, PIECE)):
        one.server.bind(Terms(connections=1))
        slot = slot_of(tmp_path / one.source, one, here=((PIECE, 2 * PIECE),))
        ((_, span, _),) = list(round_of(slot, pick=pick).assign(slot))
        assert asked[-1] == ((0, PIECE), (2 * PIECE, SIZE))
        assert (span.start, span.end) == (3 * PIECE, 3 * PIECE + length)


def test_what_is_waited_for_comes_before_what_is_picked(tmp_path: Path) -> None:
    peer = supply("peer", 1e7, ((0, SIZE),))
    peer.server.bind(Terms(connections=2))
    slot = slot_of(tmp_path / "part", peer)
    slot.want(Need(first=((40 * MIB, 41 * MIB),)))
    (_, first, _), (_, second, _) = list(round_of(slot, pick=lambda *_: 8 * MIB).assign(slot))
    assert (first.start, second.start) == (40 * MIB, 8 * MIB)


def test_a_source_without_a_reach_is_not_picked_for(tmp_path: Path) -> None:
    def never(*_: object) -> int:
        raise AssertionError

    slot = slot_of(tmp_path / "part", supply("root"))
    assert list(round_of(slot, pick=never).assign(slot))


def test_a_job_starves_from_when_nobody_had_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NOW]
    monkeypatch.setattr("orchestrator.transfer.active.time", SimpleNamespace(monotonic=lambda: now[0]))
    peer = supply("peer", reach=())
    slot = slot_of(tmp_path / "part", peer)
    for seconds in (0.0, 20.0, 40.0):
        now[0] = NOW + seconds
        assert slot.starved == seconds
    peer.reach = LEASED
    assert not slot.starved
    peer.reach = ()
    assert not slot.starved
    now[0] += 5
    assert slot.starved == 5.0


def test_the_terms_say_how_many_connections_and_no_more_are_tried() -> None:
    server = Server("peer", start=16, most=64)
    server.bind(Terms(connections=4))
    server.met(0.001)
    assert server.allowed == 4
    server.bind(Terms(connections=2))
    assert server.allowed == 2
    server.line.spare = 60
    for tick in range(400):
        server.observe(NOW + tick / 10, MIB, 2)
        assert server.allowed <= 2
    server.bind(Terms(connections=3))
    assert server.allowed == 3
    assert server.settled is None, "nothing is learned of it for other runs"
    server.bind(Terms())
    assert server.allowed == 3, "and from here on more are tried"
    assert server.growth.most == 64


def test_who_may_be_busy_is_left_alone_a_few_times_and_then_asked_for_the_reason() -> None:
    server = Server("peer", start=16, most=64)
    assert not server.may_be_busy(NOW), "its terms do not foresee that"
    server.bind(Terms(connections=2, rest=0.5))
    at = NOW
    for _ in range(3):
        assert server.may_be_busy(at)
        assert server.may_be_busy(at + 0.1), "those that are refused together count once"
        at = server.not_before
        assert at <= NOW + 3
    assert not server.may_be_busy(at)
    assert (server.strikes, server.allowed) == (0, 0)
    server.succeed()
    assert server.may_be_busy(at)


# -- with a real aria2c


def among(world: World, **shapes: Shape) -> None:
    """Sources of these names, on lines of their own."""
    sites = {name: world.hub.mirror(name, own_cdn=True, shape=shape).url for name, shape in shapes.items()}
    world.locator.sites = sites


def sent(world: World, source: str) -> int:
    world.hub.log.settle()
    return world.hub.log.bytes_sent(face=f"{source}-cdn")


def test_a_busy_peer_rests_while_another_one_is_asked(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(SIZE, 1)})
    among(world, busy=Shape(), other=Shape(total_rate=16 * MIB))
    world.hub.faces["busy-cdn"].faults.add(Fault("rate_limited", times=4, retry_after_s=600))
    world.locator.reaches = {"busy": ((0, SIZE),), "other": ((0, SIZE),)}
    world.locator.terms_of = dict.fromkeys(("busy", "other"), Terms(connections=2, rest=0.5))
    transfer = world.transfer()
    transfer.want(next(iter(world.jobs.values())), Need())
    ended = world.end(transfer)
    world.check(ended)
    by_name = {server.name: server for server in transfer.servers}
    assert (by_name["busy"].strikes, by_name["busy"].allowed, by_name["busy"].down) == (0, 2, None)
    assert by_name["busy"].bytes > 0, "and then it was asked again"
    assert not [exchange for exchange in world.hub.log.requests(face="busy") if exchange.method == "HEAD"]
    assert sent(world, "busy") + sent(world, "other") <= 1.03 * SIZE


def test_a_job_that_may_ask_nobody_waits_without_looking_all_the_time(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(8 * MIB, 1)})
    world.locator.reaches = {"hub": ()}
    transfer = world.transfer()
    transfer.want(next(iter(world.jobs.values())), Need())
    until, polls = time.monotonic() + 1.0, 0
    while time.monotonic() < until:
        assert not world.step(transfer)
        polls += 1
    assert polls <= 12
    assert not world.locator.asked, "nobody is asked where the bytes are"
    world.locator.reaches = {"hub": ((0, 8 * MIB),)}
    stirring = threading.Thread(target=transfer.stir)
    stirring.start()
    begun = time.monotonic()
    world.check(world.end(transfer))
    stirring.join()
    assert time.monotonic() - begun < 30


def test_units_that_are_leased_one_after_the_other_come_once_from_the_origin(make_world: MakeWorld) -> None:
    """Beside peers that are fast, and while the last unit is still on its way."""
    unit, job_size = 4 * MIB, 32 * MIB
    world = make_world({"big.safetensors": generate(job_size, 1)})
    among(world, origin=Shape(latency_s=0.03, total_rate=4 * MIB), peer=Shape(latency_s=0.002))
    job = next(iter(world.jobs.values()))
    world.locator.reaches = {"origin": ((0, unit),), "peer": ()}
    world.locator.terms_of = {"origin": Terms(connections=2), "peer": Terms(connections=2, rest=0.5)}
    world.locator.picks = {"peer": lambda free: free[-1][0]}
    transfer = world.transfer()
    transfer.want(job, Need())
    leased = unit

    def lease(event: TransferEvent) -> None:
        nonlocal leased
        if isinstance(event, Moved) and event.arrived.by_source.get("origin", 0) >= leased - MIB:
            leased = min(leased + unit, job_size // 2)
            world.locator.reaches["origin"] = ((0, leased),)
            world.locator.reaches["peer"] = ((job_size // 2, job_size // 2 + leased),)
            transfer.stir()

    ended = world.end(transfer, lease)
    world.check(ended)
    assert cast(Fetched, ended["big.safetensors"]).sent == {"origin": job_size // 2, "peer": job_size // 2}
    assert sent(world, "origin") <= 1.02 * job_size / 2
    assert sent(world, "peer") <= 1.02 * job_size / 2
    asked = [one for one in world.hub.log.requests(face="origin-cdn") if one.range]
    assert len(asked) <= 2.5 * job_size / 2 / unit
    assert not any(server.strikes or server.resting_until for server in transfer.servers)


def test_the_one_file_that_may_be_asked_for_comes_though_others_wait_before_it(make_world: MakeWorld) -> None:
    world = make_world({f"{n}.safetensors": generate(4 * MIB + n, n) for n in range(8)})
    jobs = list(world.jobs.values())

    class ByFile(Addresses):
        def reach(self, job: Job, source: str) -> Ranges | None:
            return ((0, job.size),) if job.digest in may else ()

    world.locator = ByFile(world.locator.sites, world.locator.commit)
    transfer = world.transfer()
    ended: list[str] = []
    for job in jobs:
        transfer.want(job, Need())
    for job in reversed(jobs):
        may = {job.digest}
        transfer.stir()
        while len(ended) < 8 and job.name not in ended:
            ended += [one.job.name for one in world.step(transfer) if isinstance(one, Fetched)]
    assert ended == [job.name for job in reversed(jobs)]


@pytest.mark.parametrize("is_given_up", [True, False])
def test_a_job_ends_when_its_origin_is_given_up_and_peers_had_nothing_for_long(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, is_given_up: bool
) -> None:
    """One that only waits for what others fetch does not."""
    monkeypatch.setattr(supply_module, "_STARVED_SECONDS", 0.5)
    world = make_world({"big.safetensors": generate(8 * MIB, 1)})
    among(world, origin=Shape(), peer=Shape())
    world.locator.reaches = {"origin": ((0, 4 * MIB),), "peer": ((2 * MIB, 3 * MIB),)}
    (job,) = world.jobs.values()
    transfer = world.transfer()
    transfer.want(job, Need())
    told: list[TransferEvent] = []
    while not any(isinstance(one, Moved) and one.arrived.total >= 4 * MIB for one in told):
        told += world.step(transfer)
    if is_given_up:
        next(one for one in transfer.servers if one.name == "origin").down = TemporaryError("origin is down")
    until = time.monotonic() + (30 if is_given_up else 1.5)
    while time.monotonic() < until and not transfer.is_idle:
        told += world.step(transfer)
    assert [str(one.error) for one in told if isinstance(one, Lost)] == ["origin is down"] * is_given_up


def test_who_is_no_candidate_any_more_gets_no_range_until_it_is_one_again(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(SIZE, 1)})
    among(world, peer=Shape(total_rate=16 * MIB), other=Shape(total_rate=16 * MIB))
    world.locator.reaches = dict.fromkeys(("peer", "other"), ((0, SIZE),))
    world.locator.terms_of = dict.fromkeys(("peer", "other"), Terms(connections=2, rest=0.5))
    transfer = world.transfer()
    transfer.want(next(iter(world.jobs.values())), Need())

    def came(source: str) -> int:
        return next((server.bytes for server in transfer.servers if server.name == source), 0)

    while came("peer") < 4 * MIB:
        world.step(transfer)
    world.locator.gone = {"peer"}
    transfer.stir()
    world.step(transfer)
    world.hub.log.settle()
    requests, bytes_then = len(world.hub.log.requests(face="peer-cdn")), came("other")
    while came("other") < bytes_then + 12 * MIB:
        world.step(transfer)
    assert len(world.hub.log.requests(face="peer-cdn")) == requests
    for server in transfer.servers:
        if server.name == "peer":
            server.down = TemporaryError("it went away")
    world.locator.gone = set()
    before = came("peer")
    ended = world.end(transfer)
    world.check(ended)
    assert came("peer") > before, "what comes back may be another process"
