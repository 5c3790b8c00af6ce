"""What the supplier makes of downloads that failed."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from orchestrator.core.extents import Ranges
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, RangeAnswer
from orchestrator.errors import TemporaryError
from orchestrator.system.threads import KeyedPools
from orchestrator.transfer.codes import REFUSED, TABLE, Cause
from orchestrator.transfer.interface import Terms, Uri
from orchestrator.transfer.limits import TransferLimits
from orchestrator.transfer.supply import Failure, Supplier, Supply

SIZE = 64 << 20
ORIGIN = Origin(RepoId(RepoType.MODEL, "org/m"), "c" * 40, "file")
JOB = Job(Digest(Algorithm.SHA256, "ab" * 32), SIZE, True, (ORIGIN,))
FINE = RangeAnswer(206, SIZE, is_range=True)


class AtOnce(Executor):
    """A pool whose steps are done when they are submitted."""

    def submit(self, step: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(step(*args, **kwargs))
        except TemporaryError as error:
            future.set_exception(error)
        return future


class Asked:
    """A locator of one source, which answers to who asks alone like this."""

    def __init__(self, answer: RangeAnswer | TemporaryError, rest: float | None = None) -> None:
        self.answer = answer
        self.rest = rest

    def candidates(self, job: Job) -> tuple[str, ...]:
        return ("s",)

    def reach(self, job: Job, source: str) -> None:
        return None

    def pick(self, job: Job, source: str, free: Ranges) -> None:
        return None

    def terms(self, source: str) -> Terms:
        return Terms(rest=self.rest)

    def locate(self, job: Job, source: str) -> Uri:
        return Uri(source, "http://s/file", 0.1)

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:
        if isinstance(self.answer, TemporaryError):
            raise self.answer
        return self.answer

    def reconnect(self) -> None:
        raise NotImplementedError

    def fetch(self, job: Job, source: str, start: int, end: int) -> Any:
        raise NotImplementedError


def known(answer: RangeAnswer | TemporaryError) -> tuple[Supplier, dict[str, Supply]]:
    """A source with an address, which may have 16 connections."""
    pools = KeyedPools(lambda _most, _name: AtOnce(), 4, "links", lambda: None)
    supplier = Supplier(Asked(answer), TransferLimits(), pools, lambda _source: 16)
    supplies: dict[str, Supply] = {}
    supplier.refresh(JOB, supplies)
    supplier.refresh(JOB, supplies)
    assert supplies["s"].server.allowed == 16
    return supplier, supplies


def refused(answer: RangeAnswer | TemporaryError, count: int, cause: Cause = REFUSED) -> Supply:
    """The source, after so many of its 16 connections failed together."""
    supplier, supplies = known(answer)
    supply = supplies["s"]
    for number in range(count):
        failure = Failure(JOB, "s", cause, "told")
        if cause is REFUSED:
            supplier.inspect(supply, failure, number, SIZE)
        else:
            supplier.failed(supplies, supply, failure, cause)
    supplier.refresh(JOB, supplies)
    return supply


@pytest.mark.parametrize(("came", "strikes"), [(16 << 10, 3), (64 << 10, 1)])
def test_one_that_breaks_off_after_little_fails_again_each_time(came: int, strikes: int) -> None:
    supplier, supplies = known(FINE)
    supply = supplies["s"]
    for _ in range(3):
        supply.server.not_before = 0.0
        supply.succeed(came)
        supplier.failed(supplies, supply, Failure(JOB, "s", TABLE[6], "told", has_gain=True), TABLE[6])
    assert supply.server.strikes == strikes


@pytest.mark.parametrize("count", [4, 12, 16])
def test_many_that_are_refused_together_are_too_many(count: int) -> None:
    assert refused(FINE, count).server.allowed == 8


def test_one_that_is_refused_may_be_so_by_chance() -> None:
    assert refused(FINE, 1).server.allowed == 16


def test_who_asks_alone_is_refused_as_well() -> None:
    busy = refused(TemporaryError("asks us to slow down"), 16)
    assert busy.server.allowed == 8
    assert busy.server.strikes == 1


def test_those_that_are_told_to_wait_together_count_once() -> None:
    assert refused(FINE, 12, TABLE[29]).server.allowed == 8
