"""Who else holds a blob: what is known by when, whom nobody asks, and what is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.catalogs.sites import Sites
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.plan import Found, Have, Job, ModelPlan, ResolvedModel, merge, plan_model
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.core.trust import Trust
from orchestrator.depot.mover import Mover
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.errors import DaemonError
from orchestrator.events import Event, Notice
from orchestrator.lists.request import Item
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from orchestrator.pulling.delivery import _Delivery
from orchestrator.pulling.model_run import ModelRun
from orchestrator.system.signals import Stop
from tests import plain
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.plain import PlainGit

FILES = {"config.json": b"{}", "a.safetensors": b"a" * 1000, "b.safetensors": b"b" * 2000}
MS, HF = MODELSCOPE, HUGGINGFACE


class World:
    """A hub, and what a run at it has."""

    def __init__(self, hub: LoopbackHub, net: Net) -> None:
        self.hub, self.net = hub, net
        self.root = Source("root", hub.url, is_root=True)
        self.notices: list[Notice] = []
        self.mirrors: tuple[Catalog, ...] = ()
        self.aliases: dict[str, str] = {}
        self.modelscope: Catalog | None = None

    def add(self, site: Site, name: str = "ms") -> Source:
        made = ModelScopeCatalog(Source(name, site.url, MS), self.net)
        self.mirrors = (*self.mirrors, made)
        self.modelscope = self.modelscope or made
        return made.source

    def plan(self, ref: Ref, **changes: Any) -> ModelPlan:
        catalog = self.catalogs[ref.catalog]
        tree = catalog.tree(ref.repo, catalog.revision(ref).commit)
        model = ResolvedModel(ref, tree, tree, Trust("root", ""), **changes)
        return plan_model(model, {})

    @property
    def catalogs(self) -> dict[Dialect, Catalog]:
        found: dict[Dialect, Catalog] = {HF: HuggingFaceCatalog(self.root, self.net)}
        return found | ({MS: self.modelscope} if self.modelscope else {})

    def ask(self, *plans: ModelPlan) -> OtherCatalogs:
        return OtherCatalogs(plans, self.sites(), self.hear)

    def sites(self) -> Sites:
        return Sites(self.catalogs, self.mirrors, PlainGit(), self.aliases)

    def hear(self, event: Event) -> None:
        assert isinstance(event, Notice)
        self.notices.append(event)

    def asked(self, face: str) -> list[str]:
        return [seen.path for seen in self.hub.log.requests(face=face)]


@pytest.fixture
def world() -> Iterator[World]:
    limits = Limits(connect=2, read=2, deadline=4, attempts=1)
    with LoopbackHub([Repo("model", "org/m", FILES)]) as hub, Net(limits=limits) as net:
        yield World(hub, net)


def ref(name: str = "org/m", kind: Dialect = HF) -> Ref:
    return Ref(RepoId(RepoType.MODEL, name), "main" if kind is HF else "master", kind)


def job(plan: ModelPlan, path: str) -> Job:
    return next(job for job in merge([plan]).jobs if job.name == path)


def answered() -> None:
    """Wait until all catalogs have answered or failed."""
    for thread in threading.enumerate():
        if thread.name.startswith("catalogs-"):
            thread.join(20)
            assert not thread.is_alive()


def test_a_listing_that_comes_late_joins_late(world: World) -> None:
    site = world.hub.modelscope()
    source = world.add(site)
    plan = world.plan(ref())
    wanted = job(plan, "a.safetensors")
    world.hub.faces["modelscope"].shape = Shape(latency_s=0.15)
    catalogs = world.ask(plan)
    assert catalogs.origin(wanted, source) is None
    assert catalogs.origin(wanted, world.root) == wanted.origins[0]
    answered()
    found = catalogs.origin(wanted, source)
    assert found is not None
    assert (found.kind, found.source, found.path) == (MS, "ms", "a.safetensors")
    assert found.commit != plan.model.commit
    assert catalogs.origin(job(plan, "config.json"), source) is None, "the two hash small files in different ways"
    assert catalogs.origin(wanted, Source("ms-2", site.url, MS)) is None
    assert world.notices == []


def test_two_sites_have_commits_of_their_own(world: World) -> None:
    stale = Repo("model", "org/m", {"deep/a.safetensors": FILES["a.safetensors"]})
    first, second = world.add(world.hub.modelscope()), world.add(world.hub.modelscope("ai", repos=[stale]), "ai")
    plan = world.plan(ref())
    catalogs = world.ask(plan)
    answered()
    wanted = job(plan, "a.safetensors")
    one, other = catalogs.origin(wanted, first), catalogs.origin(wanted, second)
    assert one is not None
    assert other is not None
    assert one.commit != other.commit
    assert other.path == "deep/a.safetensors"
    (notice,) = world.notices
    assert (notice.code, notice.mirror) == ("mirror-differs", "ai")
    assert "lacks 'b.safetensors'; the rest of it is used" in notice.message


def test_a_modelscope_model_is_looked_for_under_every_alias(world: World) -> None:
    world.add(world.hub.modelscope(aliases={"MS/m": "org/m"}))
    world.aliases = {"gone/m": "MS/m", "org/m": "MS/m"}
    plan = world.plan(ref("MS/m", MS))
    catalogs = world.ask(plan)
    answered()
    found = catalogs.origin(job(plan, "a.safetensors"), world.root)
    assert found is not None
    assert (found.repo.name, found.commit) == ("org/m", world.hub.repo("org/m").head)
    assert world.notices == []


def test_what_the_root_lacks_of_a_modelscope_model_is_no_news(world: World) -> None:
    other = Repo("model", "org/m", {**FILES, "c.safetensors": b"c"})
    world.add(world.hub.modelscope(repos=[other]))
    plan = world.plan(ref("org/m", MS))
    catalogs = world.ask(plan)
    answered()
    assert catalogs.origin(job(plan, "b.safetensors"), world.root) is not None
    assert catalogs.origin(job(plan, "c.safetensors"), world.root) is None
    assert world.notices == []


def test_nobody_is_asked_for_what_is_closed_small_or_here(world: World) -> None:
    world.add(world.hub.modelscope())
    world.hub.add(Repo("model", "org/small", {"config.json": b"{}"}))
    world.hub.add(Repo("model", "single", FILES))
    here = world.plan(ref())
    placed = {file.digest: Found(Have.PLACED) for file in here.model.tree.files}
    plans = [
        world.plan(ref(), is_restricted=True),
        world.plan(ref("org/small")),
        world.plan(ref("single")),
        plan_model(here.model, placed),
    ]
    world.ask(*plans)
    answered()
    assert world.asked("modelscope") == []


def test_a_site_that_is_down_is_asked_once(world: World) -> None:
    world.add(world.hub.modelscope())
    world.hub.fault(Fault("status", status=503), face="modelscope")
    names = [f"org/m{n}" for n in range(12)]
    for name in names:
        world.hub.add(Repo("model", name, FILES))
    world.ask(*(world.plan(ref(name)) for name in names))
    answered()
    assert [notice.code for notice in world.notices] == ["mirror-down"]
    assert len(world.asked("modelscope")) <= 8, "those under way when it was found out, and no more"


def test_an_odd_listing_is_told_and_not_used(world: World) -> None:
    source = world.add(world.hub.modelscope())
    world.hub.fault(
        Fault("lying_listing", "*/repo/files", edit=lambda a: a | {"Data": {"Files": [7]}}), face="modelscope"
    )
    plan = world.plan(ref())
    catalogs = world.ask(plan)
    answered()
    assert catalogs.origin(job(plan, "a.safetensors"), source) is None
    (notice,) = world.notices
    assert (notice.code, notice.mirror) == ("mirror-differs", "ms")


def test_after_the_end_nothing_is_told(world: World) -> None:
    source = world.add(world.hub.modelscope())
    world.hub.faces["modelscope"].shape = Shape(latency_s=0.1)
    plan = world.plan(ref())
    catalogs = world.ask(plan)
    catalogs.close()
    assert world.hub.log.wait_for(lambda log: len(log.requests(face="modelscope")) >= 1)
    answered()
    assert catalogs.origin(job(plan, "a.safetensors"), source) is None
    assert world.notices == []


def test_nothing_is_told_once_the_fetch_is_over(world: World, tmp_path: Path) -> None:
    """A listing that comes late is nobody's news any more, and under `watch` it would be the next run's."""
    stale = Repo("model", "org/m", {"a.safetensors": FILES["a.safetensors"]})
    world.add(world.hub.modelscope(repos=[stale]))
    plan = world.plan(ref())
    world.hub.faces["modelscope"].shape = Shape(latency_s=0.3)

    def lost() -> Any:
        raise DaemonError("it is lost")

    run = ModelRun(Item(plan.model.ref), world.hear, plan.model, plan)
    with plain.cache(tmp_path) as cache:
        sources = plain.sources(world.root, net=world.net)
        delivery = _Delivery([run], world.sites(), sources, cache, Mover(lost), stop=Stop(), emit=world.hear)
        with pytest.raises(DaemonError):
            delivery._fetch(())
    answered()
    assert world.notices == []
