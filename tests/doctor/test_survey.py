"""Who is probed with what, and what each source is said to have of the model. Catalogs and probes are plain values."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.cache.records import Records
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Source
from orchestrator.doctor import survey as module
from orchestrator.doctor.facts import Freshness
from orchestrator.doctor.survey import Survey, survey
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError, SourcesDownError, TemporaryError
from orchestrator.mirrors.probe import Bounds, Probe, SampleFile
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import Observation, Quarantine, Remembered, Stats
from orchestrator.net.session import Net
from tests import plain
from tests.plain import MIRROR, OTHER, ROOT, SCOPE, PlainCatalog, PlainStats

Probed = dict[Source, SampleFile | None]
LARGEST = "sub/b.safetensors"


class PlainNet:
    """A net that takes no proxy, and asks nobody."""

    def proxy_for(self, url: str) -> str | None:
        if " " in url:
            raise ProtocolError("no address")
        return None


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Probed:
    """What each source was probed with; a probe takes no time and finds it well."""
    seen: Probed = {}

    def probe(_net: Net, source: Source, target: SampleFile | None, _bounds: Bounds, *, is_restricted: bool) -> Probe:
        seen[source] = target
        return Probe(source, latencies=(0.1,), target=target)

    monkeypatch.setattr(module, "probe", probe)
    return seen


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with plain.cache(tmp_path) as cache:
        yield cache.records


def look(
    records: Records, *catalogs: PlainCatalog, ref: Ref | None = None, stats: PlainStats | None = None, **options: Any
) -> Survey:
    sources: Sources = plain.sources(*(c.source for c in catalogs), stats=stats, net=cast(Any, PlainNet()))
    return survey(ref, plain.sites(*catalogs), sources, records, Bounds(), **options)


def states(found: Survey) -> dict[str, Freshness]:
    return {row.name: row.state for row in found.rows}


def test_without_a_model_sources_are_probed_alone(probed: Probed, records: Records) -> None:
    found = look(records, PlainCatalog(ROOT), PlainCatalog(MIRROR))
    assert probed == {ROOT: None, MIRROR: None}
    assert (found.ref, found.total, states(found)) == (
        None,
        None,
        {"root": Freshness.UNKNOWN, "mirror": Freshness.UNKNOWN},
    )


def test_the_largest_file_is_sampled_and_the_model_is_summed_up(probed: Probed, records: Records) -> None:
    found = look(records, PlainCatalog(ROOT), ref=plain.ref())
    target = probed[ROOT]
    assert target is not None
    assert (target.origin.path, target.size) == (LARGEST, 2000)
    assert (found.commit, found.reference, found.total) == (plain.ONE, ROOT, 3002)


def test_a_mirror_that_is_behind_is_stale_and_sampled_all_the_same(probed: Probed, records: Records) -> None:
    behind = PlainCatalog(MIRROR, {"main": plain.TWO}, {plain.TWO: plain.tree_of(plain.TWO)})
    found = look(records, PlainCatalog(ROOT), behind, PlainCatalog(OTHER), ref=plain.ref())
    assert states(found) == {"root": Freshness.FRESH, "mirror": Freshness.STALE, "other": Freshness.FRESH}
    assert probed[MIRROR] == probed[ROOT]


def test_a_mirror_without_the_model_is_probed_without_a_file(probed: Probed, records: Records) -> None:
    found = look(records, PlainCatalog(ROOT), PlainCatalog(MIRROR, {}), ref=plain.ref())
    assert (states(found)["mirror"], probed[MIRROR]) == (Freshness.ABSENT, None)


@pytest.mark.parametrize(
    ("content", "state", "held"),
    [
        (plain.FILES, Freshness.FRESH, (2, 2)),
        (plain.FILES | {LARGEST: b"c" * 2000}, Freshness.STALE, (1, 2)),
        ({"README.md": b"another one"}, Freshness.ABSENT, (0, 2)),
    ],
)
def test_another_kind_is_compared_file_by_file(
    probed: Probed,
    records: Records,
    content: dict[str, bytes],
    state: Freshness,
    held: tuple[int, int],
) -> None:
    scope = PlainCatalog(SCOPE, trees={plain.ONE: plain.tree_of(content=content)})
    found = look(records, PlainCatalog(ROOT), scope, ref=plain.ref())
    (row,) = (row for row in found.rows if row.source == SCOPE)
    assert (row.state, (row.held, row.wanted)) == (state, held)


def test_a_closed_model_is_named_to_nobody_else(probed: Probed, records: Records) -> None:
    mirror, scope = PlainCatalog(MIRROR), PlainCatalog(SCOPE)
    found = look(records, PlainCatalog(ROOT, is_restricted=True), mirror, scope, ref=plain.ref())
    assert states(found) == {"root": Freshness.FRESH, "mirror": Freshness.UNKNOWN, "scope": Freshness.UNKNOWN}
    assert mirror.asked == scope.asked == []
    assert probed[MIRROR] is None


def test_where_the_root_is_down_a_mirror_is_the_reference(probed: Probed, records: Records) -> None:
    down = PlainCatalog(ROOT, error=SourcesDownError("no route"))
    found = look(records, down, PlainCatalog(MIRROR), ref=plain.ref())
    assert found.reference == MIRROR
    assert states(found) == {"root": Freshness.UNKNOWN, "mirror": Freshness.UNKNOWN}
    assert {row.name: row.error for row in found.rows} == {"root": "no route", "mirror": None}
    assert ROOT not in probed


def test_a_model_that_nobody_lists_is_an_error(probed: Probed, records: Records) -> None:
    with pytest.raises(NotFoundError):
        look(records, PlainCatalog(ROOT, {}), ref=plain.ref())
    assert probed == {}


def test_a_source_that_takes_too_long_is_reported_late(monkeypatch: pytest.MonkeyPatch, records: Records) -> None:
    gate = threading.Event()

    def probe(_net: Net, source: Source, *_: object, **__: object) -> Probe:
        if source == MIRROR:
            gate.wait(30)
        return Probe(source, latencies=(0.1,))

    monkeypatch.setattr(module, "probe", probe)
    found = look(records, PlainCatalog(ROOT), PlainCatalog(MIRROR), patience=0.5)
    gate.set()
    assert [isinstance(row.probe.error, TemporaryError) for row in found.rows] == [False, True]


def test_what_was_measured_is_remembered_and_quarantine_is_told(probed: Probed, records: Records) -> None:
    bad = Quarantine(1.0, "lied")
    stats = PlainStats(Stats(1.0, {MIRROR.address: Remembered("mirror", quarantine=bad)}))
    found = look(records, PlainCatalog(ROOT), PlainCatalog(MIRROR), stats=stats)
    assert stats.observed == {ROOT: (Observation(0.1),), MIRROR: (Observation(0.1),)}
    assert [row.quarantine for row in found.rows] == [None, bad]


def test_where_nobody_answers_it_is_an_error_if_one_must(monkeypatch: pytest.MonkeyPatch, records: Records) -> None:
    error = SourcesDownError("no route")
    monkeypatch.setattr(module, "probe", lambda _net, source, *_, **__: Probe(source, error=error))
    with pytest.raises(GlmAriaError, match="no source answers: no route"):
        look(records, PlainCatalog(ROOT), PlainCatalog(MIRROR))
    assert len(look(records, PlainCatalog(ROOT), must_answer=False).rows) == 1


def test_an_address_that_cannot_be_asked_has_no_proxy(probed: Probed, records: Records) -> None:
    (row,) = look(records, PlainCatalog(Source("odd", "http://a b", is_root=True))).rows
    assert row.proxy is None
