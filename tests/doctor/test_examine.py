"""The doctor goes on where a source cannot be asked, says what was left out, and judges by what it has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.cache.records import Record
from orchestrator.catalogs.interface import Catalog
from orchestrator.core.network.resolvers import NameServer, Reply
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.core.trust import Level, Trust
from orchestrator.doctor import examine
from orchestrator.doctor.facts import SourceFacts
from orchestrator.doctor.findings import REFERENCE
from orchestrator.doctor.machine import CacheHealth, MachineSteps
from orchestrator.doctor.survey import Survey
from orchestrator.errors import ProtocolError
from orchestrator.mirrors.crowd import Open
from orchestrator.mirrors.probe import Probe, SampleFile
from orchestrator.net.session import Net
from orchestrator.system.threads import Step
from tests import plain

ROOT, MIRROR = plain.ROOT, plain.MIRROR


class PlainNet:
    """A net that asks nobody: `proxies` by address."""

    def __init__(self, **proxies: str) -> None:
        self.proxies = proxies

    def proxy_for(self, url: str) -> str | None:
        return self.proxies.get(url.removeprefix("https://").partition(".")[0])


def catalog(url: str) -> Catalog:
    return plain.PlainCatalog(Source(url, url))


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a b", "http://127.0.0.1:99999", "http://[::1"])
def test_no_way_is_traced_to_an_address_that_cannot_be_asked(address: str) -> None:
    with Net() as net:
        sites = plain.sites(plain.PlainCatalog(ROOT), catalog("http://127.0.0.1:9"), catalog(address))
        assert list(examine._routes(examine.DoctorRequest(), sites, net)) == ["root.test", "127.0.0.1:9"]


def test_no_way_is_traced_past_a_proxy() -> None:
    sites = plain.sites(plain.PlainCatalog(ROOT), plain.PlainCatalog(MIRROR))
    net = cast(Net, PlainNet(mirror="http://proxy.test"))
    assert list(examine._routes(examine.DoctorRequest(), sites, net)) == ["root.test"]


def fails(error: Exception) -> Callable[[], int]:
    def step() -> int:
        raise error

    return step


@pytest.mark.parametrize(
    ("step", "note"),
    [
        (fails(ProtocolError("odd")), "x: odd"),
        (fails(OSError(13, "Permission denied")), "x: Permission denied"),
        (fails(OSError()), "x: OSError"),
        (lambda: threading.Event().wait(20), "x: not done within 0 s, skipped"),
    ],
)
def test_a_note_says_what_was_left_out(step: Callable[[], int], note: str) -> None:
    good = Step("good", lambda: 1)
    assert examine._round((good, Step("x", step)), 0.4) == [note]
    assert good.value == 1


def test_the_rate_past_a_proxy_is_measured_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = cast(SampleFile, object())
    monkeypatch.setattr(examine, "probe", lambda net, source, *_: Probe(source, rate_one=5e6))
    rows = (
        SourceFacts(ROOT, Probe(ROOT, target=target), proxy="http://p"),
        SourceFacts(MIRROR, Probe(MIRROR, target=target)),
        SourceFacts(plain.OTHER, Probe(plain.OTHER, target=target, error=ProtocolError("x")), proxy="http://p"),
    )
    found = examine._past_proxies(rows, cast(Net, PlainNet()))
    assert [row.direct for row in found] == [5e6, None, None]


def done(value: Any) -> Step[Any]:
    return Step("done", lambda: value, value, None, True)


def undone() -> Step[Any]:
    return Step("undone", lambda: None)


class SlowestClock:
    """A clock that goes on by all the time that a round may take: whatever is measured comes at its very end."""

    def __init__(self, rows: tuple[SourceFacts, ...]) -> None:
        self.now, self.rows = 0.0, rows

    def monotonic(self) -> float:
        return self.now

    def at_once(self, steps: Sequence[Step[Any]], seconds: float, name: str) -> None:
        self.now += seconds
        for step in steps:
            step.value, step.is_done = Survey(self.rows) if step.name == "the sources" else None, True

    def crowd(self, most: int) -> SlowestClock:
        return self

    def join(self, open_one: object, number: int) -> None:
        """Nothing comes of it."""

    def rate(self, seconds: float, most: int, patience: float) -> None:
        self.now += seconds + patience

    def close(self) -> None:
        """There is nothing to close."""


def test_all_rounds_together_take_no_longer_than_the_guide_promises(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target, open_range = cast(SampleFile, object()), cast(Open, object())
    rows = tuple(
        SourceFacts(source, Probe(source, target=target, open_range=open_range, rates=((1, 1e6),)), proxy="http://p")
        for source in (ROOT, MIRROR)
    )
    clock = SlowestClock(rows)
    monkeypatch.setattr(examine, "time", clock)
    monkeypatch.setattr(examine, "at_once", clock.at_once)
    monkeypatch.setattr(examine, "Crowd", clock.crowd)
    sites, net = plain.sites(plain.PlainCatalog(ROOT), plain.PlainCatalog(MIRROR)), cast(Net, PlainNet())
    with plain.cache(tmp_path) as cache:
        request = examine.DoctorRequest(plain.ref())
        found = examine.examine(request, sites, plain.sources(ROOT, MIRROR, net=net), cache, net)
    assert 19 <= found.seconds <= 20  # no round is left out


REPLY = Reply(NameServer("1.1.1.1"), "hub.test", ("8.8.4.4",), 0.1)


def test_facts_are_those_that_came_in_time() -> None:
    nothing = MachineSteps(undone(), undone(), undone(), undone(), undone(), undone(), (undone(), done(REPLY)))
    request = examine.DoctorRequest(known_mirrors=(plain.SCOPE,))
    facts = examine._facts(request, plain.sites(plain.PlainCatalog(ROOT)), nothing, (), None)
    assert (facts.free, facts.write_rate, facts.aria2_version, facts.litter) == (None, None, None, 0)
    assert (facts.replies, facts.open_rpcs, facts.size) == ((REPLY,), (), REFERENCE)
    assert facts.mirrors_hint == "modelscope+https://scope.test"


def test_facts_have_the_command_that_leaves_a_mirror_out() -> None:
    here = MachineSteps(done(1e6), done(1 << 30), done(None), done(CacheHealth(5, ("a",))), done(()), done("/data"), ())
    sites = plain.sites(plain.PlainCatalog(ROOT), plain.PlainCatalog(MIRROR), plain.PlainCatalog(plain.SCOPE))
    facts = examine._facts(examine.DoctorRequest(), sites, here, (), 7)
    assert dict(facts.without)["mirror"] == "export GLM_ARIA_MIRRORS=modelscope+https://scope.test"
    assert (facts.size, facts.litter, facts.unreadable, facts.roomier) == (7, 5, ("a",), "/data")
    assert facts.free == (1 << 30) - (256 << 20)


def test_the_model_that_stands_in_is_never_a_closed_one(tmp_path: Path) -> None:
    with plain.cache(tmp_path) as cache:
        assert examine._last_listed(cache.records) is None
        trust = Trust(Level.ROOT, ROOT.url)
        cache.records.save(RepoId(RepoType.MODEL, "org/open"), Record(plain.tree_of(), trust))
        cache.records.save(RepoId(RepoType.MODEL, "org/closed"), Record(plain.tree_of(), trust, is_restricted=True))
        assert str(examine._last_listed(cache.records)) == f"org/open@{plain.ONE}"
