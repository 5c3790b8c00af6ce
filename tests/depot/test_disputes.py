"""Wrong bytes: whose are dropped, and who is named for them, beside the transfer."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.cache.staging import Staging
from orchestrator.core.extents import Extent, Extents
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.depot import disputes
from orchestrator.depot.candidates import Candidates
from orchestrator.depot.company import OWN_MATTER
from orchestrator.depot.messages import Again, DepotMessage, Proven, Wrong
from orchestrator.errors import IntegrityError, SourcesDownError
from orchestrator.proof import dropped
from orchestrator.proof.dropped import DroppedRange
from orchestrator.proof.verified import verify
from orchestrator.system.inbox import Inbox
from orchestrator.system.threads import SerialPool
from orchestrator.transfer import journal
from orchestrator.transfer.interface import Fetched, Lost
from tests import plain
from tests.plain import Heard

DATA = b"right" * 1000


class _Locator:
    """Everybody is a source, and nobody's evidence can be kept."""

    def __init__(self) -> None:
        self.choice = Candidates(lambda _job: {"root": None, "liar": None})


def disputes_of(inbox: Inbox[DepotMessage], locator: _Locator, staging: Staging, heard: Heard) -> disputes.Disputes:
    return disputes.Disputes(inbox, cast(Any, locator), plain.sources(plain.ROOT), staging, heard)


@pytest.fixture
def proven(tmp_path: Path) -> Proven:
    part = tmp_path / "part"
    part.write_bytes(DATA)
    digest = Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest())
    job = Job(digest, len(DATA), True, (Origin(RepoId(RepoType.MODEL, "org/m"), "0" * 40, "f"),))
    return Proven(job, verify(part, digest, len(DATA)), {"root": len(DATA) - 5})


def test_naming_does_not_hold_up_the_transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proven: Proven) -> None:
    may_read, real = threading.Event(), dropped.differing

    def slowly(*given: Any) -> Any:
        assert may_read.wait(10)
        return real(*given)

    monkeypatch.setattr(dropped, "differing", slowly)
    heard, locator = Heard(), _Locator()
    inbox: Inbox[DepotMessage] = Inbox()
    with plain.cache(tmp_path) as cache:
        naming = disputes_of(inbox, locator, cache.staging, heard)
        wrong = DroppedRange("liar", 0, 5, hashlib.sha256(b"wrong").digest())
        naming._open[proven.job.digest] = disputes._Dispute(dropped=[wrong], sent={"liar": 5})
        caller = threading.Timer(5, may_read.set)  # so that code which reads in this thread fails, and does not hang
        caller.start()
        assert naming.compare_dropped(proven)
        assert not may_read.is_set()
        assert list(inbox.take(0)) == []
        may_read.set()
        caller.cancel()
        (told,) = inbox.take(time.monotonic() + 10)
        naming.close()
    assert told == replace(proven, sent={"root": len(DATA) - 5, "liar": 5})
    assert locator.choice.of(proven.job) == ("root",)
    assert heard.codes == ["mirror-lied"]


def test_who_sends_the_right_file_in_the_end_is_not_banned(tmp_path: Path, proven: Proven) -> None:
    heard, locator = Heard(), _Locator()
    inbox: Inbox[DepotMessage] = Inbox(SerialPool)
    with plain.cache(tmp_path) as cache:
        naming = disputes_of(inbox, locator, cache.staging, heard)
        wrong = DroppedRange("root", 0, 5, hashlib.sha256(b"wrong").digest())
        naming._open[proven.job.digest] = disputes._Dispute(dropped=[wrong], sent={"root": 5})
        assert naming.compare_dropped(proven)
        (told,) = inbox.take(0)
    assert told == replace(proven, sent={"root": len(DATA)})
    assert locator.choice.of(proven.job) == ("root", "liar")
    assert heard.codes == ["sent-again"]


def test_no_case_no_wait(tmp_path: Path, proven: Proven) -> None:
    with plain.cache(tmp_path) as cache:
        assert not disputes_of(Inbox(), _Locator(), cache.staging, Heard()).compare_dropped(proven)


# -- whose bytes to drop


class Dispute:
    """A job with a part in the stage, and what each decision was."""

    def __init__(self, cache: Cache, monkeypatch: pytest.MonkeyPatch, *names: str, can_compare: bool = True) -> None:
        origin = Origin(plain.REPO, plain.ONE, "f")
        self.job = Job(Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest()), len(DATA), True, (origin,))
        self.part = cache.staging.part(self.job.digest)
        places = {name: (Source(name, f"https://{name}.test"), origin) if can_compare else None for name in names}
        self.choice = Candidates(lambda _job: places)
        self.inbox: Inbox[DepotMessage] = Inbox(SerialPool)
        locator = cast(Any, type("Locator", (), {"choice": self.choice, "locate": self._no, "inspect": self._no})())
        self.disputes = disputes.Disputes(self.inbox, locator, plain.sources(plain.ROOT), cache.staging, Heard())
        monkeypatch.setattr(disputes, "Links", lambda _net: self)
        monkeypatch.setattr(disputes, "fetch_range", lambda _net, _source, _origin, a, b, **_: DATA[a:b])

    @property
    def url(self) -> str:
        return "https://cdn.test"

    def resolve(self, *_given: Any, **_named: Any) -> Any:
        return self

    def _no(self, *_given: Any) -> Any:
        raise SourcesDownError("nobody answers")

    def decide(self, data: bytes, *extents: Extent, kept: tuple[Extent, ...] = ()) -> DepotMessage:
        self.part.write_bytes(data)
        fetched = Fetched(self.job, self.part, Extents.of(extents), Extents.of(kept))
        self.disputes.open(Wrong(fetched, IntegrityError("another digest")), OWN_MATTER)
        (message,) = self.inbox.take(0)
        return message

    @property
    def left(self) -> set[str]:
        """The sources whose bytes stay in the part; empty when it is gone."""
        if not self.part.exists():
            return set()
        kept = journal.load(self.part, self.job.digest, self.job.size)
        return set(kept.by_source) if kept else set()


HALF = len(DATA) // 2
FIRST, REST = Extent(0, HALF, "root"), Extent(HALF, len(DATA), "near")
LIE = DATA[:HALF] + b"x" * HALF


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def test_a_source_that_differs_from_the_root_loses_what_it_sent(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Dispute(cache, monkeypatch, "root", "near", "far")
    assert one.decide(LIE, FIRST, REST) == Again(one.job)
    assert one.left == {"root"}
    assert one.choice.of(one.job) == ("root", "far")


def test_where_samples_tell_nothing_all_comes_from_one_source_in_turn(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Dispute(cache, monkeypatch, "root", "near", can_compare=False)
    assert one.decide(LIE, FIRST, REST) == Again(one.job)
    assert (one.left, one.choice.of(one.job)) == ({"root"}, ("root",)), "the most trusted first"
    assert one.decide(LIE, Extent(0, len(DATA), "root")) == Again(one.job)
    assert (one.left, one.choice.of(one.job)) == (set(), ("near",))
    lost = one.decide(LIE, Extent(0, len(DATA), "near"))
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, IntegrityError)
    assert one.left == set()


def test_an_only_source_is_asked_once_more(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Dispute(cache, monkeypatch, "root", can_compare=False)
    whole = Extent(0, len(DATA), "root")
    assert one.decide(LIE, whole) == Again(one.job)
    assert (one.left, one.choice.of(one.job)) == (set(), ("root",))
    assert isinstance(one.decide(LIE, whole), Lost)


def test_a_part_of_an_earlier_run_is_nobodys_fault_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Dispute(cache, monkeypatch, "root", can_compare=False)
    whole = Extent(0, len(DATA), "root")
    assert one.decide(LIE, whole, kept=(FIRST,)) == Again(one.job)
    assert one.left == set()
    assert one.choice.of(one.job) == ("root",)
    assert isinstance(one.decide(LIE, whole), Lost)
