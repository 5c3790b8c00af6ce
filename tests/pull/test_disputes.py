"""Liars are named beside the transfer: what they had sent may be gigabytes, and all of it is read."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.cache.staging import Staging
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin
from orchestrator.proof import testimony
from orchestrator.proof.testimony import Testimony
from orchestrator.proof.verified import verify
from orchestrator.pull import disputes
from orchestrator.pull.candidates import Candidates
from tests import plain
from tests.plain import Heard

DATA = b"right" * 1000


class _Locator:
    """Everybody is a source, and nobody's evidence can be kept."""

    def __init__(self) -> None:
        self.choice = Candidates(lambda _job: {"root": None, "liar": None})


def disputes_of(locator: _Locator, staging: Staging, heard: Heard) -> disputes.Disputes:
    return disputes.Disputes(cast(Any, locator), plain.sources(plain.ROOT), staging, heard)


def test_naming_does_not_hold_up_the_transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest())
    part = tmp_path / "part"
    part.write_bytes(DATA)
    job = Job(digest, len(DATA), True, (Origin(RepoId(RepoType.MODEL, "org/m"), "0" * 40, "f"),))
    may_read, real = threading.Event(), testimony.contradicted

    def slowly(*given: Any) -> Any:
        assert may_read.wait(10)
        return real(*given)

    monkeypatch.setattr(testimony, "contradicted", slowly)
    heard = Heard()
    locator = _Locator()
    with plain.cache(tmp_path) as cache:
        naming = disputes_of(locator, cache.staging, heard)
        naming._cases[digest] = disputes._Case(noted=[Testimony("liar", 0, 5, hashlib.sha256(b"wrong").digest())])
        proven = verify(part, digest, len(DATA))
        caller = threading.Timer(5, may_read.set)  # so that code which reads in this thread fails, and does not hang
        caller.start()
        assert naming.name_liars(job, proven)
        assert not may_read.is_set()
        assert not naming.is_idle
        assert naming.named() == []
        may_read.set()
        caller.cancel()
        naming.close()
        ((found, future),) = naming.named()
    assert found == (job, proven)
    assert future.exception() is None
    assert naming.is_idle
    assert locator.choice.of(job) == ("root",)
    assert heard.codes == ["mirror-lied"]


def test_no_case_no_wait(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(DATA)
    digest = Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest())
    job = Job(digest, len(DATA), True, (Origin(RepoId(RepoType.MODEL, "org/m"), "0" * 40, "f"),))
    with plain.cache(tmp_path) as cache:
        assert not disputes_of(_Locator(), cache.staging, Heard()).name_liars(job, verify(part, digest, len(DATA)))
