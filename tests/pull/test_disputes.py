"""Liars are named beside the transfer: what they had sent may be gigabytes, and all of it is read."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace
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
from orchestrator.pull.messages import Message, Proven
from orchestrator.system.inbox import Inbox
from tests import plain
from tests.plain import Heard

DATA = b"right" * 1000


class _Locator:
    """Everybody is a source, and nobody's evidence can be kept."""

    def __init__(self) -> None:
        self.choice = Candidates(lambda _job: {"root": None, "liar": None})


def disputes_of(inbox: Inbox[Message], locator: _Locator, staging: Staging, heard: Heard) -> disputes.Disputes:
    return disputes.Disputes(inbox, cast(Any, locator), plain.sources(plain.ROOT), staging, heard)


@pytest.fixture
def proven(tmp_path: Path) -> Proven:
    part = tmp_path / "part"
    part.write_bytes(DATA)
    digest = Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest())
    job = Job(digest, len(DATA), True, (Origin(RepoId(RepoType.MODEL, "org/m"), "0" * 40, "f"),))
    return Proven(job, verify(part, digest, len(DATA)), {"root": len(DATA) - 5})


def test_naming_does_not_hold_up_the_transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proven: Proven) -> None:
    may_read, real = threading.Event(), testimony.contradicted

    def slowly(*given: Any) -> Any:
        assert may_read.wait(10)
        return real(*given)

    monkeypatch.setattr(testimony, "contradicted", slowly)
    heard, locator = Heard(), _Locator()
    inbox: Inbox[Message] = Inbox()
    with plain.cache(tmp_path) as cache:
        naming = disputes_of(inbox, locator, cache.staging, heard)
        wrong = Testimony("liar", 0, 5, hashlib.sha256(b"wrong").digest())
        naming._cases[proven.job.digest] = disputes._Case(noted=[wrong], sent={"liar": 5})
        caller = threading.Timer(5, may_read.set)  # so that code which reads in this thread fails, and does not hang
        caller.start()
        assert naming.name_liars(proven)
        assert not may_read.is_set()
        assert list(inbox.take(0)) == []
        may_read.set()
        caller.cancel()
        (told,) = inbox.take(time.monotonic() + 10)
        naming.close()
    assert told == replace(proven, sent={"root": len(DATA) - 5, "liar": 5})
    assert locator.choice.of(proven.job) == ("root",)
    assert heard.codes == ["mirror-lied"]


def test_no_case_no_wait(tmp_path: Path, proven: Proven) -> None:
    with plain.cache(tmp_path) as cache:
        assert not disputes_of(Inbox(), _Locator(), cache.staging, Heard()).name_liars(proven)
