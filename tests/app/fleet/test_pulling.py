"""The task that processes of one job have in common."""

from dataclasses import replace

from orchestrator.app.fleet.pulling import key_of, meanings
from orchestrator.core.dialects import REGISTRY
from orchestrator.core.refs import parse_ref
from orchestrator.core.sources import Source
from orchestrator.core.trust import Level, Trust
from orchestrator.lists.lockfile import Lock, LockedModel
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling.locking import locked_items
from tests import plain
from tests.plain import PlainCatalog

JOB = {"SLURM_JOB_ID": "7"}


def request(ref: str = "org/name", *include: str) -> PullRequest:
    return PullRequest((Item(parse_ref(ref), include),))


def locked(name: str = "main") -> LockedModel:
    return LockedModel(plain.ref(name), plain.ONE, Trust(Level.ROOT, "https://root.test"), ())


def test_processes_of_one_job_that_pull_the_same_have_one_task() -> None:
    assert key_of(request(), JOB, 0.0) == key_of(request(), JOB, 1e9)
    assert key_of(request(), JOB, 0.0) != key_of(request(), {"SLURM_JOB_ID": "8"}, 0.0)


def test_without_a_job_it_is_the_same_for_some_minutes() -> None:
    assert key_of(request(), {}, 1200.0) == key_of(request(), {}, 1799.0)
    assert key_of(request(), {}, 1200.0) != key_of(request(), {}, 1800.0)


def test_what_is_locked_is_one_task_at_any_time() -> None:
    (item,) = request().items
    fixed = replace(request(), items=(replace(item, locked=locked()),))
    assert key_of(fixed, {}, 0.0) == key_of(fixed, {}, 1e9)
    assert key_of(fixed, {}, 0.0) != key_of(request(), {}, 0.0)
    half = replace(fixed, items=(*fixed.items, item))
    assert key_of(half, {}, 0.0) != key_of(half, {}, 1e9), "a name may have moved"


def test_a_lock_is_found_by_its_name_and_by_its_commit() -> None:
    one, other = locked(), replace(locked("v1"), include=("*.json",))
    fresh = Lock().with_models([one, other])
    by_name, by_commit, by_globs = (
        replace(request(), items=(Item(ref, include),))
        for ref, include in ((other.ref, ()), (one.fixed, ()), (one.fixed, ("*.json",)))
    )
    assert locked_items(by_name, fresh)[0].locked == other
    assert locked_items(by_commit, fresh)[0].locked == one
    assert locked_items(by_globs, fresh)[0].locked == other


def test_who_pulls_something_else_has_another_task() -> None:
    keys = {key_of(one, JOB, 0.0) for one in (request(), request("org/name@v1"), request("org/name", "*.json"))}
    assert len(keys) == 3


def test_a_name_that_has_moved_is_another_task() -> None:
    asked = request("reg://team/model@prod")
    catalog = PlainCatalog(Source("registry", "http://registry", REGISTRY), {"prod": plain.ONE})
    assert meanings(asked, plain.sites(catalog)) == (plain.ONE,)
    assert key_of(asked, JOB, 0.0, (plain.ONE,)) != key_of(asked, JOB, 0.0, (plain.TWO,))
    # A branch of the Hub is looked at once for all machines.
    assert meanings(request("org/name"), plain.sites(catalog)) == ()
