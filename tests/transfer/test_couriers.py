"""Couriers: bodies are written to parts, in threads of each source, and small ones are proven on the way."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Body, Origin, RangeAnswer
from orchestrator.errors import CannotCreateError, NotFoundError
from orchestrator.system.threads import Pool, SerialPool
from orchestrator.transfer.couriers import Couriers
from orchestrator.transfer.interface import Terms, Uri
from tests.plain import REPO

DATA = bytes(range(256)) * 40
ALL = (0, len(DATA))


@dataclass
class Bodies:
    """A locator whose bodies come at once, in pieces of 1,000 bytes; `before` is called ahead of each body."""

    data: bytes = DATA
    before: Callable[[], object] = lambda: None
    threads: set[int] = field(default_factory=set)
    open: int = 0

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        self.threads.add(threading.get_ident())
        self.before()
        if source == "absent":
            raise NotFoundError(f"{source} has no {job.name}")
        self.open += 1
        return Body(start, self._pieces(start, end), abort=lambda: None, close=self._close)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        yield from (self.data[at : min(at + 1000, end)] for at in range(start, end, 1000))

    def _close(self) -> None:
        self.open -= 1

    def candidates(self, job: Job) -> tuple[str, ...]:
        raise AssertionError(job)

    def reach(self, job: Job, source: str) -> Ranges | None:
        raise AssertionError(job, source)

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:
        raise AssertionError(job, source)

    def terms(self, source: str) -> Terms:
        raise AssertionError(source)

    def locate(self, job: Job, source: str) -> Uri:
        raise AssertionError(job, source)

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        raise AssertionError(job, uri, start, end)

    def reconnect(self) -> None:
        raise NotImplementedError


def job_of(data: bytes = DATA) -> Job:
    digest = Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest())
    return Job(digest, len(data), False, (Origin(REPO, "c" * 40, "file.json"),))


def test_a_small_file_is_written_and_proven(tmp_path: Path) -> None:
    bodies, told = Bodies(), list[str]()
    couriers = Couriers(bodies, SerialPool, 4, lambda: told.append("done"))
    errand = couriers.send(job_of(), "hub", tmp_path / "part", *ALL, prove=True)
    assert (errand.is_done, errand.is_running, errand.error, told, bodies.open) == (True, False, None, ["done"], 0)
    assert (errand.position, errand.came) == (len(DATA), len(DATA))
    assert (tmp_path / "part").read_bytes() == DATA
    assert errand.proof is not None
    assert errand.proof.digest == job_of().digest


def test_other_bytes_of_the_same_size_are_kept_without_a_proof(tmp_path: Path) -> None:
    couriers = Couriers(Bodies(bytes(len(DATA))), SerialPool, 4, lambda: None)
    errand = couriers.send(job_of(), "hub", tmp_path / "part", *ALL, prove=True)
    assert (errand.is_done, errand.error, errand.proof) == (True, None, None)
    assert (tmp_path / "part").read_bytes() == bytes(len(DATA))


def test_a_range_is_written_in_its_place_and_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"x" * 5000)
    couriers = Couriers(Bodies(), SerialPool, 4, lambda: None)
    errand = couriers.send(job_of(), "hub", tmp_path / "part", 1500, 2500, prove=True)
    assert (errand.is_done, errand.error, errand.proof, errand.position) == (True, None, None, 2500)
    assert (tmp_path / "part").read_bytes() == b"x" * 1500 + DATA[1500:2500] + b"x" * 2500


def test_an_error_of_the_source_and_one_of_the_disk_are_the_errands(tmp_path: Path) -> None:
    couriers = Couriers(Bodies(), SerialPool, 4, lambda: None)
    absent = couriers.send(job_of(), "absent", tmp_path / "one", *ALL, prove=True)
    assert isinstance(absent.error, NotFoundError)
    (tmp_path / "two").mkdir()
    barred = couriers.send(job_of(), "hub", tmp_path / "two", *ALL, prove=True)
    assert isinstance(barred.error, CannotCreateError)
    assert absent.proof is barred.proof is None


def test_no_more_threads_of_a_source_are_busy_than_it_may_have(tmp_path: Path) -> None:
    bodies, done = Bodies(), threading.Semaphore(0)
    couriers = Couriers(bodies, Pool, 2, done.release)
    with closing(couriers):
        errands = [couriers.send(job_of(), "hub", tmp_path / str(number), *ALL, prove=True) for number in range(20)]
        for _ in errands:
            assert done.acquire(timeout=30)
    assert all(errand.proof for errand in errands)
    assert len(bodies.threads) <= 2


def test_what_was_stopped_while_it_waited_is_never_begun(tmp_path: Path) -> None:
    gate, done = threading.Event(), threading.Semaphore(0)
    couriers = Couriers(Bodies(before=lambda: gate.wait(30)), Pool, 1, done.release)
    with closing(couriers):
        first, second = (couriers.send(job_of(), "hub", tmp_path / name, *ALL, prove=True) for name in ("one", "two"))
        second.stop()
        gate.set()
        assert done.acquire(timeout=30)
        assert done.acquire(timeout=30)
    assert first.proof is not None
    assert (second.is_begun, second.is_done, second.proof) == (False, True, None)
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("stops", [False, True])
def test_a_stopped_errand_writes_nothing_more(tmp_path: Path, stops: bool) -> None:
    gate, reached, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        reached.set()
        gate.wait(30)

    couriers = Couriers(Bodies(before=wait), Pool, 1, done.release)
    with closing(couriers):
        errand = couriers.send(job_of(), "hub", tmp_path / "part", *ALL, prove=True)
        assert reached.wait(30)
        if stops:
            errand.stop()
        gate.set()
        assert done.acquire(timeout=30)
    assert (errand.proof is None) is stops
    assert (tmp_path / "part").read_bytes() == (b"" if stops else DATA)
