"""The feeder with a real aria2c and a real server: what arrives, what resumes, what is given up."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from orchestrator.aria2.daemon import PrivateDaemon
from orchestrator.core.extents import Extent, Extents
from orchestrator.core.plan import Job
from orchestrator.errors import DaemonError, DiskIOError, NotFoundError, SourcesDownError
from orchestrator.transfer import journal
from orchestrator.transfer.admitter import BUSY_SECONDS
from orchestrator.transfer.interface import (
    Admission,
    Already,
    Fetched,
    Lost,
    Moved,
    Rangeless,
    TransferEvent,
)
from orchestrator.transfer.limits import TransferLimits
from tests.aria2.conftest import holds_nothing
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.shaping import Shape
from tests.transfer.world import MakeWorld, begin


def test_many_small_files(make_world: MakeWorld) -> None:
    world = make_world({f"f{n}.json": generate(10 + 37 * n, n) for n in range(400)})
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    world.check(world.end(transfer))
    assert world.locator.asked == []


def test_small_files_need_no_daemon(make_world: MakeWorld, daemon: PrivateDaemon) -> None:
    world = make_world({f"f{n}.json": generate(1000 + n, n) for n in range(20)} | {"empty.txt": b""})
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    world.check(world.end(transfer))
    assert daemon.pid is None


def test_those_behind_busy_ones_go_on(make_world: MakeWorld) -> None:
    """However many another run has."""
    world = make_world({f"f{n}.json": generate(100 + n, n) for n in range(600)})
    transfer = world.transfer(admit=lambda job: Admission.GO if job.name == "f599.json" else Admission.BUSY)
    begin(transfer, world.jobs.values())
    for _ in range(200):
        if found := [one for one in world.step(transfer) if isinstance(one, Fetched)]:
            assert [one.job.name for one in found] == ["f599.json"]
            return
    raise AssertionError("it was never tried")


def test_abandoned_jobs_do_not_start(make_world: MakeWorld) -> None:
    world = make_world({f"f{n}.json": b"%d" % n * 9 for n in range(9)})
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    transfer.abandon({job.digest for name, job in world.jobs.items() if name != "f3.json"})
    assert list(world.end(transfer)) == ["f3.json"]
    assert [name for name, _, _ in world.locator.fetched] == ["f3.json"]


@pytest.mark.parametrize("kind", ["range_ignored", "chunked", "chunked_whole"])
def test_what_aria2_cannot_take_in_ranges_comes_whole(make_world: MakeWorld, kind: str) -> None:
    """Each file once, by Python; told once, and remembered for the files that follow."""
    world = make_world({f"{n}.safetensors": generate(3 * MIB + n, n) for n in range(3)})
    world.hub.fault(Fault(kind), face="cdn")
    transfer = world.transfer(limits=TransferLimits(jobs=1))
    begin(transfer, world.jobs.values())
    told: list[Rangeless] = []
    world.check(world.end(transfer, lambda one: told.append(one) if isinstance(one, Rangeless) else None))
    assert [one.source for one in told] == ["hub"]
    assert {name for name, _, _ in world.locator.fetched} >= set(world.jobs) - {"0.safetensors"}
    assert len(world.locator.inspected) == 1


def test_a_chunked_answer_is_continued(make_world: MakeWorld) -> None:
    """As far as the server knows ranges; what came is not asked for again."""
    size = 6 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    world.hub.fault(Fault("chunked", after_bytes=2 * MIB + 77), face="cdn")
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    world.check(world.end(transfer))
    starts = [start for _, start, _ in world.locator.fetched]
    assert len(starts) > 1
    assert starts == sorted(starts)
    assert starts[1] >= 1 * MIB


def test_one_without_ranges_is_the_last_choice(make_world: MakeWorld) -> None:
    size = 12 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    odd = world.hub.mirror("odd", faults=[Fault("chunked_whole")])
    world.hub.faces["cdn"].shape = Shape(total_rate=12 * MIB)
    world.locator.sites = {"odd": odd.url, "hub": world.hub.url}
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    ended = world.end(transfer)
    world.check(ended)
    (one,) = ended.values()
    assert isinstance(one, Fetched)
    assert set(one.sent) == {"hub"}
    assert world.locator.fetched == []


def test_a_limit_holds_for_couriers(make_world: MakeWorld) -> None:
    world = make_world({f"{n}.json": generate(MIB, n) for n in range(4)})
    transfer = world.transfer(limits=TransferLimits(max_speed=2 * MIB))
    begin(transfer, world.jobs.values())
    begun = time.monotonic()
    world.check(world.end(transfer))
    assert time.monotonic() - begun > 1.5


def test_a_limit_that_ends_during_the_transfer_holds_it_no_longer(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"big.safetensors": generate(16 * MIB, 1), "a.json": generate(MIB, 2)}
    world = make_world(files)
    limits: list[int | None] = [128 * 1024]
    monkeypatch.setattr("orchestrator.transfer.downloads.limit_at", lambda _speed, _now: limits[-1])
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    begun = time.monotonic()
    while not any(isinstance(one, Moved) and one.connections for one in world.step(transfer)):
        pass
    limits.append(None)
    world.check(world.end(transfer))
    assert time.monotonic() - begun < 60, "at the first limit it takes two minutes"


def test_a_limit_that_begins_during_the_transfer_holds(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world({"big.safetensors": generate(24 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=6 * MIB)
    limits: list[int | None] = [None]
    monkeypatch.setattr("orchestrator.transfer.downloads.limit_at", lambda _speed, _now: limits[-1])
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    while not any(isinstance(one, Moved) and one.connections for one in world.step(transfer)):
        pass
    limits.append(3 * MIB)
    begun = time.monotonic()
    world.check(world.end(transfer))
    assert time.monotonic() - begun > 5, "without a limit it takes four seconds"


def test_stop_ends_couriers(make_world: MakeWorld) -> None:
    """Also those to whom nothing comes."""
    world = make_world({"a.json": generate(MIB, 1)})
    world.hub.fault(Fault("stall", after_bytes=1000))
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    while not any(isinstance(one, Moved) and one.connections for one in world.step(transfer)):
        pass
    begun = time.monotonic()
    transfer.stop()
    assert time.monotonic() - begun < 8
    for thread in threading.enumerate():
        if thread.name.startswith("courier"):
            thread.join(5)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("courier")]


def test_a_big_file_over_sixteen_connections(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(32 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=48 * MIB)
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    seen: list[Moved] = []
    ended = world.end(transfer, lambda one: seen.append(one) if isinstance(one, Moved) else None)
    world.check(ended)
    assert {entry.connection for entry in world.hub.log.requests(face="cdn")}
    assert max(one.connections for one in seen) == 16
    assert [one.arrived.total for one in seen] == sorted(one.arrived.total for one in seen)
    assert all(one.arrived.prefix <= one.arrived.total <= 32 * MIB for one in seen)
    assert world.locator.threads
    assert threading.current_thread().name not in world.locator.threads


def test_two_sources_share_a_file(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(24 * MIB, 1)})
    near = world.hub.mirror("near", shape=Shape(latency_s=0.01, total_rate=16 * MIB))
    world.hub.faces["cdn"].shape = Shape(latency_s=0.01, total_rate=16 * MIB)
    world.locator.sites = {"hub": world.hub.url, "near": near.url}
    transfer = world.transfer(limits=TransferLimits())
    begin(transfer, world.jobs.values())
    ended = world.end(transfer)
    world.check(ended)
    (one,) = ended.values()
    assert isinstance(one, Fetched)
    assert set(one.sent) == {"hub", "near"}
    assert sum(one.sent.values()) == 24 * MIB
    world.hub.log.settle()
    for face, name in (("cdn", "hub"), ("near", "near")):
        sent = world.hub.log.bytes_sent(face=face)
        assert sent > 4 * MIB
        # What was on its way when a tail was taken over was sent, and is another source's in the file.
        assert sent - 2 * MIB <= one.sent[name] <= sent


def test_a_broken_source_is_done_without(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(12 * MIB, 1), "a.json": b"small" * 100})
    bad = world.hub.mirror("bad", faults=[Fault("status", status=500, method="GET")])
    world.locator.sites = {"bad": bad.url, "hub": world.hub.url}
    transfer = world.transfer(limits=TransferLimits())
    begin(transfer, world.jobs.values())
    world.check(world.end(transfer))
    assert world.hub.log.requests(face="bad")


def test_what_nobody_has_is_given_up_and_the_rest_arrives(make_world: MakeWorld) -> None:
    world = make_world({"a.json": b"here" * 10, "gone.json": b"gone" * 10, "dark.safetensors": generate(2 * MIB, 1)})
    world.hub.fault(Fault("status", "gone.json", status=404))
    world.locator.errors["dark.safetensors"] = NotFoundError("nobody has it")
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    ended = world.end(transfer)
    assert isinstance(ended["a.json"], Fetched)
    for name in ("gone.json", "dark.safetensors"):
        outcome = ended[name]
        assert isinstance(outcome, Lost)
        assert isinstance(outcome.error, NotFoundError)
    assert world.locator.asked == ["dark.safetensors"], "an answer that will not change is asked once"


def test_a_locator_that_recovers(make_world: MakeWorld) -> None:
    world = make_world({"m.safetensors": generate(2 * MIB, 1)})
    world.locator.errors["m.safetensors"] = SourcesDownError("down")
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    while len(world.locator.asked) < 2:
        world.step(transfer)
    world.locator.errors.clear()
    world.check(world.end(transfer))


def test_a_killed_aria2c_is_started_again(make_world: MakeWorld, daemon: PrivateDaemon) -> None:
    size = 32 * MIB
    world = make_world({"big.safetensors": generate(size, 1)} | {f"{n}.json": b"%d" % n * 50 for n in range(30)})
    world.hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=12 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    begin(transfer, world.jobs.values())
    killed: list[int] = []

    def kill_at_half(outcome: TransferEvent) -> None:
        if isinstance(outcome, Moved) and outcome.arrived.total > size // 2 and not killed and daemon.pid:
            killed.append(daemon.pid)
            os.kill(daemon.pid, signal.SIGKILL)

    world.check(world.end(transfer, kill_at_half))
    assert killed
    assert daemon.pid not in (None, killed[0])
    world.hub.log.settle()
    # Lost: what came since the last look, and what was on its way.
    assert world.hub.log.bytes_sent(face="cdn") <= size + 8 * MIB


def test_one_that_dies_again_and_again_is_given_up(make_world: MakeWorld, daemon: PrivateDaemon) -> None:
    world = make_world({"big.safetensors": generate(8 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=MIB)
    transfer = world.transfer()
    begin(transfer, world.jobs.values())

    def poll_and_kill() -> None:
        for _ in range(5000):
            world.step(transfer)
            if daemon.pid:
                os.kill(daemon.pid, signal.SIGKILL)

    with pytest.raises(DaemonError):
        poll_and_kill()


def test_the_next_transfer_continues_from_the_journal(make_world: MakeWorld, daemon: PrivateDaemon) -> None:
    size = 32 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    (job,) = world.jobs.values()
    world.hub.faces["cdn"].shape = Shape(latency_s=0.02, total_rate=12 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    begin(transfer, [job])
    while True:
        world.step(transfer)
        known = journal.load(world.part(job), job.digest, size)
        if known and known.total >= size // 2:
            break
    assert daemon.pid
    os.kill(daemon.pid, signal.SIGKILL)
    world.hub.log.settle()
    world.hub.log.reset()
    second = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    begin(second, [job])
    ended = world.end(second)
    world.check(ended)
    (one,) = ended.values()
    assert isinstance(one, Fetched)
    assert one.kept.total == known.total
    assert sum(one.sent.values()) == size - known.total
    world.hub.log.settle()
    missing = size - known.total
    assert missing <= world.hub.log.bytes_sent(face="cdn") <= 1.1 * missing, "tails are taken over while they come"


@pytest.mark.parametrize("has_source", [True, False])
def test_a_part_that_lacks_nothing_is_done_at_once(make_world: MakeWorld, has_source: bool) -> None:
    """A run that was stopped after its last byte, before it could tell, leaves one."""
    world = make_world({"big.safetensors": generate(3 * MIB, 1)})
    (job,) = world.jobs.values()
    if not has_source:
        world.locator.errors[job.name] = NotFoundError("nobody has it")
    world.part(job).write_bytes(world.files[job.name])
    journal.save(world.part(job), job.digest, job.size, Extents().put([Extent(0, job.size, "hub")]))
    transfer = world.transfer()
    begin(transfer, [job])
    ended = world.end(transfer)
    world.check(ended)
    (one,) = ended.values()
    assert isinstance(one, Fetched)
    assert one.kept.total == job.size
    assert world.hub.log.bytes_sent(face="cdn") == 0


def test_stop_keeps_the_part_and_leaves_nothing_in_aria2(make_world: MakeWorld) -> None:
    size = 16 * MIB
    world = make_world({"big.safetensors": generate(size, 1)})
    (job,) = world.jobs.values()
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=2))
    begin(transfer, [job])
    done = 0
    while done < 4 * MIB:
        done = max([done, *(one.arrived.total for one in world.step(transfer) if isinstance(one, Moved))])
    rpc = transfer._downloads.rpc
    transfer.stop()
    assert holds_nothing(rpc)
    known = journal.load(world.part(job), job.digest, size)
    assert known is not None
    assert known.total >= 2 * MIB


def test_when_connections_fall_silent_addresses_are_asked_for_over_new_ones(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(8 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(rate_per_connection=MIB)
    world.hub.fault(Fault("stall", after_bytes=100_000, times=16), face="cdn")
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    world.check(world.end(transfer))
    assert world.locator.reconnected


def test_a_job_waits_for_its_admission(make_world: MakeWorld) -> None:
    world = make_world({"mine.json": b"m" * 99, "theirs.json": b"t" * 99})
    answers = iter([Admission.BUSY, Admission.BUSY, Admission.ALREADY])
    transfer = world.transfer(admit=lambda job: next(answers) if job.name == "theirs.json" else Admission.GO)
    begin(transfer, world.jobs.values())
    ended = world.end(transfer)
    assert isinstance(ended["mine.json"], Fetched)
    assert isinstance(ended["theirs.json"], Already)
    assert world.hub.log.requests(file="theirs.json") == []


def test_jobs_that_another_run_has_for_hours_are_not_asked_for_all_the_time(make_world: MakeWorld) -> None:
    world = make_world({"theirs.json": b"t" * 99})
    asked: list[Job] = []
    transfer = world.transfer(admit=lambda job: asked.append(job) or Admission.BUSY)
    begin(transfer, world.jobs.values())
    begun, due = time.monotonic(), 0.0
    for _ in range(3):
        time.sleep(max(0.0, due - time.monotonic()))
        due = transfer.poll()
    assert len(asked) == 3, "each poll is for a try"
    assert due - begun >= 3 * BUSY_SECONDS


def test_a_job_whose_admission_fails_is_lost_alone(make_world: MakeWorld) -> None:
    world = make_world({"mine.json": b"m" * 99, "broken.json": b"b" * 99})

    def admit(job: Job) -> Admission:
        if job.name == "broken.json":
            raise DiskIOError("the disk failed")
        return Admission.GO

    transfer = world.transfer(admit=admit)
    begin(transfer, reversed(world.jobs.values()))
    ended = world.end(transfer)
    assert isinstance(ended["mine.json"], Fetched)
    lost = ended["broken.json"]
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, DiskIOError)


def test_an_endless_answer_to_a_range_is_cut_at_its_end(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(12 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=16 * MIB)
    world.hub.fault(Fault("endless"), face="cdn")
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    world.check(world.end(transfer))
    world.hub.log.settle()
    assert world.hub.log.bytes_sent(face="cdn") < 60 * MIB


@pytest.mark.parametrize("fault", ["extra_byte", "endless"])
def test_a_file_that_is_longer_than_listed_is_cut_and_told(make_world: MakeWorld, fault: str) -> None:
    world = make_world({"big.safetensors": generate(MIB + 100_000, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    world.hub.fault(Fault(fault), face="cdn")
    transfer = world.transfer()
    begin(transfer, world.jobs.values())
    (outcome,) = world.end(transfer).values()
    assert isinstance(outcome, Lost)
    assert outcome.error.exit_code == 65
    assert outcome.error.file == "big.safetensors"
    world.hub.log.settle()
    assert world.hub.log.bytes_sent(face="cdn") < 60 * MIB


def test_spans_that_end_badly_after_their_job_are_no_bug(make_world: MakeWorld) -> None:
    """Each of them fails to clean up: the first gives the job up, once, and those behind it have no job any more."""
    world = make_world({"big.safetensors": generate(32 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    begin(transfer, world.jobs.values())
    while max([0, *(one.connections for one in world.step(transfer) if isinstance(one, Moved))]) < 4:
        pass
    (job,) = world.jobs.values()
    names = [path for path in world.stage.iterdir() if path.stat().st_nlink > 1 and path != world.part(job)]
    assert len(names) >= 4
    for name in names:  # aria2 has them open, and goes on; nobody can unlink a folder
        name.unlink()
        name.mkdir()
    (outcome,) = world.end(transfer).values()
    assert isinstance(outcome, Lost)
    assert outcome.error.file == job.name
    rpc = transfer._downloads.rpc
    while not holds_nothing(rpc):
        world.step(transfer)


def test_a_job_that_is_given_up_while_spans_open_begins_none(make_world: MakeWorld, daemon: PrivateDaemon) -> None:
    """Its part may be another run's by then."""
    world = make_world({"big.safetensors": generate(32 * MIB, 1)})
    world.hub.faces["cdn"].shape = Shape(total_rate=2 * MIB)
    transfer = world.transfer(limits=TransferLimits(connections_per_mirror=4))
    (job,) = world.jobs.values()
    begin(transfer, [job])
    while max([0, *(one.connections for one in world.step(transfer) if isinstance(one, Moved))]) < 4:
        pass
    opened = sum(path.stat().st_nlink > 1 and path != world.part(job) for path in world.stage.iterdir())
    journal.span_path(world.part(job), opened + 2).mkdir()
    assert daemon.pid
    os.kill(daemon.pid, signal.SIGKILL)  # its successor gets several spans at once, the third of which fails
    (outcome,) = world.end(transfer).values()
    assert isinstance(outcome, Lost)
    assert holds_nothing(transfer._downloads.rpc)


def test_a_job_whose_spans_aria2_refuses_is_given_up_once(make_world: MakeWorld) -> None:
    world = make_world({"big.safetensors": generate(32 * MIB, 1)})
    transfer = world.transfer(way={"max-tries": "several"})
    begin(transfer, world.jobs.values())
    (outcome,) = world.end(transfer).values()
    assert isinstance(outcome, Lost)
    assert isinstance(outcome.error, DaemonError)
    assert holds_nothing(transfer._downloads.rpc)
    assert not list(world.stage.glob("*.span-*"))
