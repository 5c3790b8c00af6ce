"""Several kinds of sites at once, merged, and what is told of those that did not answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from orchestrator.catalogs.search.document import SearchDocument
from orchestrator.catalogs.search.interface import Hit, Quantization, Query
from orchestrator.catalogs.search.search import Row, search
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, SourcesDownError, TemporaryError
from orchestrator.events import Event, Notice


@dataclass
class Site:
    """A site that finds these names; it measures 100 bytes a letter."""

    name: str
    kind: Dialect = HUGGINGFACE
    names: tuple[str, ...] = ()
    error: GlmAriaError | None = None
    measured: list[str] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source(self.name, f"https://{self.name}", self.kind)

    def find(self, query: Query) -> tuple[Hit, ...]:
        if self.error:
            raise self.error
        return tuple(Hit(RepoId(RepoType.MODEL, name), self.kind, 1, is_estimate=True) for name in self.names)

    def measure(self, hit: Hit) -> Hit:
        self.measured.append(hit.ref)
        if "slow" in hit.ref:
            raise TemporaryError("too slow")
        return replace(hit, size=100 * len(hit.repo.name), is_estimate=False)


def rows(query: Query, *sites: tuple[Site, ...], measure: bool = False) -> tuple[tuple[Row, ...], list[Event]]:
    told: list[Event] = []
    found = search(query, sites, {"a/one": "A-cn/one"}, measure=measure, emit=lambda *events: told.extend(events))
    return found, told


def refs(found: tuple[Row, ...]) -> list[str]:
    return [row.hit.ref for row in found]


def test_the_orders_of_the_sites_are_merged_place_by_place() -> None:
    hub, scope = Site("hub", names=("h/1", "h/2", "h/3")), Site("scope", MODELSCOPE, ("m/1", "H/3", "m/2"))
    found, told = rows(Query("x"), (hub,), (scope,))
    assert refs(found) == ["h/1", "ms://m/1", "h/2", "h/3", "ms://m/2"]
    assert [one.ref for one in found[3].others] == ["ms://H/3"], "the same name in another case"
    assert told == []
    assert refs(rows(Query("x", limit=2), (hub,), (scope,))[0]) == ["h/1", "ms://m/1"]


def test_an_alias_is_the_same_model() -> None:
    (row,), _ = rows(Query("x"), (Site("hub", names=("a/one",)),), (Site("scope", MODELSCOPE, ("A-cn/one",)),))
    assert (row.hit.ref, row.others[0].ref) == ("a/one", "ms://A-cn/one")
    (entry,) = SearchDocument.of(Query("x"), (row,)).found
    assert (entry.where, entry.elsewhere) == (("huggingface", "modelscope"), ("ms://A-cn/one",))


def test_a_mirror_stands_in_for_a_root_that_does_not_answer() -> None:
    down = Site("root", error=SourcesDownError("root is down"))
    mirror, unasked = Site("near", names=("a/b",)), Site("far", names=("c/d",))
    found, told = rows(Query("x"), (down, mirror, unasked))
    assert refs(found) == ["a/b"]
    (notice,) = told
    assert isinstance(notice, Notice)
    assert (notice.code, notice.mirror) == ("passed-over", "root")
    assert notice.message == "near was searched instead of root: root is down"


def test_one_kind_of_site_that_does_not_answer_is_told_and_all_of_them_are_an_error() -> None:
    hub, scope = Site("hub", names=("a/b",)), Site("scope", MODELSCOPE, error=TemporaryError("busy"))
    found, told = rows(Query("x"), (hub,), (scope,))
    assert refs(found) == ["a/b"]
    assert [one.code for one in told if isinstance(one, Notice)] == ["not-searched"]
    with pytest.raises(SourcesDownError, match="no hub"):
        rows(Query("x"), (Site("hub", error=SourcesDownError("no hub")),), (scope,))


def test_sizes_are_asked_of_who_found_the_model_for_what_is_shown_alone() -> None:
    hub, scope = Site("hub", names=("a/b", "a/slow", "a/beyond")), Site("scope", MODELSCOPE, ("m/n",))
    found, _ = rows(Query("x", limit=3), (hub,), (scope,), measure=True)
    assert [(row.hit.ref, row.hit.size, row.hit.is_estimate) for row in found] == [
        ("a/b", 300, False),
        ("ms://m/n", 300, False),
        ("a/slow", 1, True),
    ]
    assert (sorted(hub.measured), scope.measured) == (["a/b", "a/slow"], ["ms://m/n"])


def test_a_quantisation_has_a_ref_of_its_own() -> None:
    hit = Hit(RepoId(RepoType.MODEL, "a/b"), HUGGINGFACE, quantizations=(Quantization("Q4_0", 3),))
    (entry,) = SearchDocument.of(Query("x"), (Row(hit),)).found
    assert [(one.name, one.ref, one.size) for one in entry.quantizations] == [("Q4_0", "a/b:Q4_0", 3)]
