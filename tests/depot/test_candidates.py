"""Who may send a job's bytes, as the run learns of sources: down, lying, or the only one left."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from orchestrator.core.plan import Job, merge, plan_model
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.depot.candidates import Candidates
from orchestrator.depot.locate import SourceLocator
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.errors import GlmAriaError, IntegrityError, NotFoundError, SourcesDownError, TrustError
from orchestrator.mirrors.stats import Quarantine, Remembered, Stats
from orchestrator.net.session import Net
from tests import plain
from tests.plain import MIRROR, MS, OTHER, ROOT, SCOPE, Heard, PlainCatalog, PlainStats


def job(path: str = "a.safetensors", **model: object) -> Job:
    plan = plan_model(plain.model_of(**model), {})  # type: ignore[arg-type]
    return next(job for job in merge([plan]).jobs if job.name == path)


@pytest.fixture
def choice() -> Candidates:
    return Candidates(lambda _job: dict.fromkeys(("root", "near", "far")))


def test_everybody_who_lists_a_blob_may_send_it(choice: Candidates) -> None:
    assert choice.of(job()) == choice.all(job()) == ("root", "near", "far")


def test_a_banned_source_is_asked_no_more_but_still_lists_it(choice: Candidates) -> None:
    assert choice.ban("near")
    assert not choice.ban("near"), "told once"
    assert choice.of(job()) == ("root", "far")
    assert choice.all(job()) == ("root", "near", "far")


def test_a_job_that_is_restricted_to_one_source_may_have_it_although_it_is_banned(choice: Candidates) -> None:
    one, two = job(), job("config.json")
    choice.ban("near")
    choice.restrict(one, ["near"])
    assert choice.of(one) == ("near",)
    assert choice.of(two) == ("root", "far")
    assert choice.is_restricted(one)
    assert not choice.is_restricted(two)


def locator(*listed: Source, heard: Heard | None = None, memory: Stats | None = None) -> SourceLocator:
    say = heard or Heard()
    sites = plain.sites(*(PlainCatalog(source) for source in listed))
    sources = plain.sources(*listed, stats=PlainStats(memory))
    return SourceLocator(sources, OtherCatalogs((), sites, say), say)


def test_the_site_that_listed_a_job_comes_first() -> None:
    made = locator(MIRROR, ROOT)
    assert made.candidates(job()) == ("mirror", "root"), "the first of the kind is its root"
    assert locator(ROOT, OTHER, MIRROR).candidates(job()) == ("root", "other", "mirror")
    fast = Stats(1.0, {MIRROR.address: Remembered("mirror", rate_many=1e9, seen=1.0)})
    assert locator(ROOT, OTHER, MIRROR, memory=fast).candidates(job()) == ("root", "mirror", "other")


def test_a_closed_repo_has_one_source() -> None:
    assert locator(ROOT, MIRROR).candidates(job(is_restricted=True)) == ("root",)


def test_a_source_of_another_kind_is_none_until_its_catalog_has_answered() -> None:
    made = locator(ROOT, SCOPE)
    assert made.candidates(job()) == ("root",)
    with pytest.raises(SourcesDownError, match="scope is no source of"):
        made.locate(job(), "scope")


def test_a_source_in_quarantine_is_left_out_and_told() -> None:
    heard = Heard()
    memory = Stats(0.0, {MIRROR.address: Remembered("mirror", quarantine=Quarantine(0.0, "it lied"))})
    assert locator(ROOT, MIRROR, heard=heard, memory=memory).candidates(job()) == ("root",)
    assert heard.codes == ["mirror-quarantined"]


@pytest.mark.parametrize(
    ("error", "code", "stays"),
    [
        (SourcesDownError("down"), "mirror-down", False),
        (TrustError("no certificate"), "mirror-down", False),
        (NotFoundError("not there"), "mirror-differs", True),
        (IntegrityError("another size"), "mirror-differs", True),
    ],
)
def test_a_mirror_that_fails_is_left_out_only_where_it_is_down(error: GlmAriaError, code: str, stays: bool) -> None:
    heard = Heard()
    made = locator(ROOT, MIRROR, heard=heard)
    made._leave_out(job(), "mirror", error)
    assert heard.codes == [code]
    assert (made.candidates(job()) == ("root", "mirror")) == stays


def test_the_root_is_never_left_out() -> None:
    heard = Heard()
    made = locator(ROOT, MIRROR, heard=heard)
    made._leave_out(job(), "root", SourcesDownError("down"))
    assert made.candidates(job()) == ("root", "mirror")
    assert heard.codes == []


def test_only_the_root_of_a_kind_is_waited_for() -> None:
    sources = plain.sources(ROOT, MIRROR, SCOPE)
    patient, hasty = object(), object()
    sources = replace(sources, patient=cast(Net, patient), hasty=cast(Net, hasty))
    of_hub, of_scope = (Origin(RepoId(RepoType.MODEL, "org/name"), "c" * 40, "f", kind) for kind in (plain.HF, MS))
    assert sources.net_for(ROOT, of_hub) is patient
    assert sources.net_for(MIRROR, of_hub) is hasty
    assert sources.net_for(SCOPE, of_scope) is patient
    assert sources.net_for(SCOPE, of_hub) is hasty, "for a Hub's model it is one mirror of many"


def test_an_origin_holds_for_the_sources_of_its_kind() -> None:
    catalogs = OtherCatalogs((), plain.sites(PlainCatalog(), PlainCatalog(MIRROR)), Heard())
    origin = Origin(RepoId(RepoType.MODEL, "org/m"), plain.ONE, "a.safetensors")
    assert catalogs.origin(job(), MIRROR) == origin
    assert catalogs.origin(job(), SCOPE) is None
