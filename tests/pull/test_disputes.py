"""Liars are named beside the transfer: what they had sent may be gigabytes, and all of it is read."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin
from orchestrator.events import Event, Notice
from orchestrator.net.session import Net
from orchestrator.proof import testimony
from orchestrator.proof.testimony import Testimony
from orchestrator.proof.verified import verify
from orchestrator.pull import disputes
from orchestrator.pull.tools import Tools

DATA = b"right" * 1000


class _Locator:
    """Everybody is a source, and nobody's evidence can be kept."""

    def __init__(self) -> None:
        self.banned: list[str] = []

    def ban(self, name: str) -> None:
        self.banned.append(name)

    def sample(self, _job: Job, _name: str) -> None:
        return None


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
    heard: list[Event] = []
    locator = _Locator()
    with Net() as net:
        tools = cast(Tools, type("Few", (), {"mirror_net": net, "memory": None}))
        court = disputes.Disputes(cast(Any, locator), tools, heard.append)
        court._cases[digest] = disputes._Case(noted=[Testimony("liar", 0, 5, hashlib.sha256(b"wrong").digest())])
        proven = verify(part, digest, len(DATA))
        caller = threading.Timer(5, may_read.set)  # so that code which reads in this thread fails, and does not hang
        caller.start()
        assert court.name_liars(job, proven)
        assert not may_read.is_set()
        assert not court.is_idle
        assert court.named() == []
        may_read.set()
        caller.cancel()
        court.close()
        ((found, future),) = court.named()
    assert found == (job, proven)
    assert future.exception() is None
    assert court.is_idle
    assert locator.banned == ["liar"]
    assert [event.code for event in heard if isinstance(event, Notice)] == ["mirror-lied"]


def test_no_case_no_wait(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(DATA)
    digest = Digest(Algorithm.SHA256, hashlib.sha256(DATA).hexdigest())
    job = Job(digest, len(DATA), True, (Origin(RepoId(RepoType.MODEL, "org/m"), "0" * 40, "f"),))
    with Net() as net:
        tools = cast(Tools, type("Few", (), {"mirror_net": net}))
        assert not disputes.Disputes(cast(Any, _Locator()), tools, lambda _event: None).name_liars(
            job, verify(part, digest, len(DATA))
        )
