"""Which connection fetches what: whatever is left of a file, somebody fetches it."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from orchestrator.aria2.control import BLOCK, FINE_PIECE
from orchestrator.core.extents import Extent, Extents
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.transfer.active import Slot
from orchestrator.transfer.assign import Assigner, Opened
from orchestrator.transfer.interface import Uri
from orchestrator.transfer.limits import Budget, TransferLimits
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.supply import Supply
from tests.transfer.world import in_order

SIZE = 8 << 20


def supply(name: str, rate: float | None, latency: float = 0.05) -> Supply:
    server = Server(name, start=16, most=64)
    server.met(latency)
    server.each = rate
    return Supply(server, Uri(name, f"http://{name}/file"))


def nearly_done(part: Path, left: int) -> Slot:
    """A job of which all but the last `left` bytes are here."""
    part.write_bytes(bytes(SIZE))
    digest = Digest(Algorithm.SHA256, part.name.encode().hex().ljust(64, "0"))
    slot = Slot(Job(digest, SIZE, True, ()), part, is_prepared=True)
    slot.extents = Extents().put([Extent(0, SIZE - left, "before")])
    return slot


def assign(slot: Slot) -> list[Opened]:
    limits = TransferLimits()
    assigner = Assigner([slot], Budget.of(limits, has_big=True, has_small=False), limits, in_order)
    return [*assigner.assign(slot), *assigner.assign(slot, tails=True)]


@pytest.mark.parametrize("left", [1, 16 << 10, 300 << 10, 700 << 10, 2 << 20])
@pytest.mark.parametrize(
    "rates", [(1e6,), (1e6, 1e6), (1e6, 1e6, 1e6), (1e4, 5e6, 4e6), (None, 1e6), (None, None, None)]
)
def test_the_rest_of_a_file_is_never_left_lying(tmp_path: Path, rates: tuple[float | None, ...], left: int) -> None:
    slot = nearly_done(tmp_path / "part", left)
    slot.supplies = {f"s{number}": supply(f"s{number}", rate) for number, rate in enumerate(rates)}
    opened = assign(slot)
    assert opened
    assert all(SIZE - left <= span.start < span.end <= SIZE for _, span, _ in opened)


def test_a_source_that_thinks_long_gets_ranges_as_a_far_one_does(tmp_path: Path) -> None:
    """Behind a short round trip: what counts is how long an answer takes, for each range costs one."""
    lengths = []
    for name, round_trip in (("thinks", 0.0001), ("far", 0.08)):
        one = supply(name, 1.5e6, latency=0.08)
        one.server.line.round_trip = round_trip
        part = tmp_path / name
        with part.open("wb") as file:
            file.truncate(256 << 20)
        slot = Slot(Job(Digest(Algorithm.SHA256, "ab" * 32), 256 << 20, True, ()), part, is_prepared=True)
        slot.supplies = {name: one}
        lengths.append([span.end - span.start for _, span, _ in assign(slot)])
    thinks, far = lengths
    assert thinks == far


@pytest.mark.parametrize("left", [16 << 10, 700 << 10, 2 << 20])
def test_a_source_that_has_not_answered_yet_keeps_nobody_from_the_rest(tmp_path: Path, left: int) -> None:
    slot = nearly_done(tmp_path / "part", left)
    near = supply("near", 1e6, latency=0.001)
    # A root that asks for patience: nobody knows how fast it is, and it may have more connections than the near one.
    asked = Supply(Server("asked", start=16, most=64), future=Future())
    slot.supplies = {"near": near, "asked": asked}
    opened = assign(slot)
    assert [span.source for _, span, _ in opened]


@pytest.mark.parametrize(("sent", "length"), [(0, 2 << 20), (4 << 20, 2 << 20), (64 << 20, 32 << 20)])
def test_a_source_of_unknown_speed_is_given_what_a_connection_of_it_has_brought(
    tmp_path: Path, sent: int, length: int
) -> None:
    """On a fast line the speed is known after half a second, by when many short ranges would have cost most of it."""
    slot = Slot(Job(Digest(Algorithm.SHA256, "ab" * 32), 1 << 30, True, ()), tmp_path / "part", is_prepared=True)
    (tmp_path / "part").touch()
    near = supply("near", None, latency=0.001)
    near.server.came.bytes = sent
    slot.supplies = {"near": near}
    opened = assign(slot)
    assert [span.end - span.start for _, span, _ in opened] == [length] * near.server.allowed


@pytest.mark.parametrize(("budget", "most"), [(64, 6), (6, None), (7, None)])
def test_wide_spans_keep_to_the_budget(tmp_path: Path, budget: int, most: int | None) -> None:
    """A daemon that runs few downloads at once gets several connections for each."""
    slot = Slot(Job(Digest(Algorithm.SHA256, "ab" * 32), 1 << 30, True, ()), tmp_path / "part", is_prepared=True)
    (tmp_path / "part").touch()
    slot.supplies = {name: supply(name, 1e6) for name in ("a", "b")}
    limits = TransferLimits(budget=budget, downloads=5)
    shares = Budget.of(limits, has_big=True, has_small=False, most=most)
    opened = list(Assigner([slot], shares, limits, in_order).assign(slot))
    assert sum(span.width for _, span, _ in opened) == (most or budget)
    assert len(opened) <= shares.spans_most


@pytest.mark.parametrize(("names", "used"), [("slow fast", {"fast"}), ("slow", {"slow"})])
def test_one_that_rests_gets_nothing_while_others_can(tmp_path: Path, names: str, used: set[str]) -> None:
    slot = nearly_done(tmp_path / "part", 4 << 20)
    slot.supplies = {name: supply(name, 1e6) for name in names.split()}
    slot.supplies["slow"].server.rest(time.monotonic())
    assert {span.source for _, span, _ in assign(slot)} == used


def test_tails_are_taken_over_a_bounded_number_of_times(tmp_path: Path) -> None:
    """A server that is so busy that nobody gets an answer in time must not have its ranges passed around for ever."""
    slot = nearly_done(tmp_path / "part", 2 << 20)
    slot.supplies = {"a": supply("a", 1e6)}
    rounds = 0
    while opened := assign(slot):
        rounds += 1
        assert rounds < 100
        for _, span, _ in opened:
            span.begun -= 60
        for span in [span for span in slot.spans if span.position >= span.end]:
            slot.close_span(span)
    assert 0 < slot.supplies["a"].server.line.twice <= SIZE // 100


@pytest.mark.parametrize(
    ("seconds", "spent", "is_helped"), [(1, 0, False), (4, 0, True), (4, 0.75, False), (60, 0.75, True)]
)
def test_the_fewer_bytes_may_come_twice_the_later_a_span_is_helped(
    tmp_path: Path, seconds: float, spent: float, is_helped: bool
) -> None:
    """What is spent on spans that end in a moment anyway is missing for one that hardly brings anything."""
    slot = nearly_done(tmp_path / "part", 2 << 20)
    slot.supplies = {"a": supply("a", 1e5)}
    assert len(assign(slot)) == 16
    slot.supplies["a"].server.line.twice = int(spent * SIZE / 100)
    slow = slot.spans[-1]
    slow.position = slow.end - BLOCK
    slow.rate = BLOCK / seconds
    limits = TransferLimits()
    assigner = Assigner([slot], Budget.of(limits, has_big=True, has_small=False), limits, in_order)
    slot.extents = Extents().put([Extent(0, SIZE, "before")])
    slot.supplies["a"].server.growth.allowed = 17
    assert bool(list(assigner.assign(slot, tails=True))) is is_helped


def test_ranges_of_the_next_file_come_before_tails_of_this_one(tmp_path: Path) -> None:
    first, second = nearly_done(tmp_path / "first", 2 << 20), nearly_done(tmp_path / "second", 2 << 20)
    for slot in (first, second):
        slot.supplies = {"a": supply("a", 1e6)}
    assign(first)
    for span in first.spans:
        span.begun -= 60
    limits = TransferLimits()
    assigner = Assigner([first, second], Budget.of(limits, has_big=True, has_small=False), limits, in_order)
    assert not list(assigner.assign(first))
    assert list(assigner.assign(second))


@pytest.mark.parametrize(("patience", "helped"), [(0.0, 1), (1.0, 0)])
def test_who_has_patience_lets_the_end_come_without_bytes_that_come_twice(
    tmp_path: Path, patience: float, helped: int
) -> None:
    slot = nearly_done(tmp_path / "part", 2 << 20)
    slot.supplies = {"a": supply("a", 1e6)}
    assign(slot)
    slow = slot.spans[-1]
    slow.rate = slow.left / 1.5
    limits = TransferLimits(patience=patience)
    assigner = Assigner([slot], Budget.of(limits, has_big=True, has_small=False), limits, in_order)
    slot.supplies["a"].server.growth.allowed = 17
    assert len(list(assigner.assign(slot, tails=True))) == helped


def test_what_is_given_out_of_a_file_does_not_make_its_own_ranges_longer(tmp_path: Path) -> None:
    """A file that is alone has nothing beside it, however much of it was given out in the same round."""
    slot = nearly_done(tmp_path / "part", 8 << 20)
    slot.supplies = {"a": supply("a", 2e5, 0.2)}
    slot.supplies["a"].server.growth.most = 16
    opened = [span.left for _, span, _ in assign(slot)]
    assert len(opened) == 16
    # Half of a share of 16, or what comes in a second and a half.
    assert max(opened) <= 2e5 * 1.5 + FINE_PIECE


def test_ranges_stay_long_while_another_file_waits_for_connections(tmp_path: Path) -> None:
    """At the end of the first file they are short only where nothing else is to be fetched: each costs a request."""
    lengths = []
    for names in (["first"], ["first", "second"]):
        slots = [nearly_done(tmp_path / f"{name}-{len(names)}", 8 << 20) for name in names]
        for slot in slots:
            slot.supplies = {"a": supply("a", 2e4, 0.2)}
        limits = TransferLimits()
        assigner = Assigner(slots, Budget.of(limits, has_big=True, has_small=False), limits, in_order)
        lengths.append([span.left for _, span, _ in assigner.assign(slots[0])])
    alone, beside = lengths
    assert max(alone) < max(beside)


def test_where_pieces_are_passed_on_no_source_begins_what_another_can_bring_to_its_end(tmp_path: Path) -> None:
    slot = nearly_done(tmp_path / "part", 7 << 20)  # three quarters of the first piece are free, and all of the second
    slot.extents = Extents().put([Extent(0, 1 << 20, "a")])
    slot.supplies = {name: supply(name, 1e6) for name in ("a", "b")}
    for one in slot.supplies.values():
        one.reach = ((0, SIZE),)
    opened = assign(slot)
    assert min(span.start for _, span, _ in opened if span.source == "a") == 1 << 20
    assert all(span.start >= 4 << 20 for _, span, _ in opened if span.source == "b")
    pieces = {
        (piece, span.source) for _, span, _ in opened for piece in range(span.start >> 22, (span.end - 1 >> 22) + 1)
    }
    assert len({piece for piece, _ in pieces}) == len(pieces)
    del slot.supplies["a"]
    slot.spans.clear()
    assert {span.start for _, span, _ in assign(slot)} >= {1 << 20}


@pytest.mark.parametrize("left", [300 << 10, 1 << 20])
def test_what_is_left_of_a_piece_that_a_slow_source_has_begun_is_brought_by_that(tmp_path: Path, left: int) -> None:
    slot = nearly_done(tmp_path / "part", left)
    slot.extents = Extents().put([Extent(0, SIZE - left, "slow")])
    slot.supplies = {"slow": supply("slow", 1e5), "fast": supply("fast", 1e8)}
    for one in slot.supplies.values():
        one.reach = ((0, SIZE),)
    assert {span.source for _, span, _ in assign(slot)} == {"slow"}
