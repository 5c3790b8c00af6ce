"""What goes from a cache and what stays: chosen by rules, removed beside others, judged by the real huggingface_hub."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

from orchestrator.cache import census
from orchestrator.cache.records import Record, Records
from orchestrator.cache.retention.pins import Pins
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Target, parse_target
from orchestrator.core.trust import Seen
from orchestrator.errors import DiskIOError, UnsafeError
from orchestrator.system import processes
from orchestrator.upkeep.garbage import Choice, Kind, Rules, choose, freed_by
from orchestrator.upkeep.sweep import Swept, sweep
from tests.cache.world import World, hf_offline, hf_scan, model_of

LATER = time.time() + 3600
OLD, NEW = "a" * 40, "b" * 40
BASE = {"base.safetensors": b"w" * 5000, "config.json": b"{}"}
BYTES = sum(len(data) for data in BASE.values())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def pins_of(world: World) -> Pins:
    return Pins(world.layout, world.state)


def select(world: World, **rules: object) -> Choice:
    rules.setdefault("now", LATER)
    return choose(census.take(world.layout), pins_of(world).load(), Rules(**rules))  # type: ignore[arg-type]


def act(world: World, choice: Choice) -> list[Swept]:
    records, folders = Records(world.state), dict.fromkeys(item.folder for item in choice.garbage)
    return [
        sweep(world.cache, records, pins_of(world), folder, [g for g in choice.garbage if g.folder == folder])
        for folder in folders
    ]


def revisions(choice: Choice) -> dict[str, str]:
    return {item.commit: item.reason for item in choice.garbage if item.kind is Kind.REVISION and item.commit}


def freed(swept: list[Swept]) -> int:
    return sum(item.frees for one in swept for item in one.gone)


def used(world: World) -> int:
    """Bytes of the distinct blobs of the cache."""
    paths = [path for path in world.layout.cache_dir.rglob("blobs/*") if path.is_file() and not path.is_symlink()]
    return sum({path.stat().st_ino: path.stat().st_size for path in paths}.values())


def two_revisions(world: World) -> tuple[ResolvedModel, ResolvedModel]:
    """A branch that moved: the first commit is named by nothing any more."""
    first, second = BASE | {"README.md": b"one"}, BASE | {"README.md": b"second"}
    before, after = model_of(first, commit=OLD), model_of(second, commit=NEW)
    world.pull(before, first)
    world.pull(after, second)
    return before, after


def test_nothing_goes_by_itself(world: World) -> None:
    two_revisions(world)
    assert select(world).garbage == ()


def test_a_detached_revision_goes_and_shared_blobs_stay(world: World) -> None:
    _, after = two_revisions(world)
    choice = select(world, litter=True)
    assert revisions(choice) == {OLD: "no ref names it"}
    (item,) = choice.garbage
    assert (item.size, item.frees) == (BYTES + 3, 3)
    before = used(world)
    assert freed(act(world, choice)) == 3 == before - used(world)
    assert hf_offline(world, after) == {**BASE, "README.md": b"second"}
    assert hf_scan(world) == []
    assert not world.layout.snapshot(after.ref.repo, OLD).exists()
    assert not world.layout.tree_file(after.ref.repo, OLD).exists()
    assert select(world, litter=True).garbage == ()


@pytest.mark.parametrize("revision", ["^1.2", ">=1 <2", "~1.2", "1.x || 3", "*"])
def test_a_revision_that_a_client_knows_by_a_range_of_versions_stays(world: World, revision: str) -> None:
    """hf keeps what it asked a registry for like a branch."""
    _, after = two_revisions(world)
    (world.layout.repo_dir(after.ref.repo) / "refs" / revision).write_text(OLD)
    assert select(world, litter=True).garbage == ()
    (repo,) = census.take(world.layout).repos
    assert (repo.refs_of(OLD), repo.strays) == ((revision,), ())


@pytest.mark.parametrize("name", ["main~", "^1.2.lock", "a:b", "^1.", ".^1", "copy of main"])
def test_a_file_that_is_neither_a_ref_nor_a_range_holds_nothing(world: World, name: str) -> None:
    _, after = two_revisions(world)
    (world.layout.repo_dir(after.ref.repo) / "refs" / name).write_text(OLD)
    assert revisions(select(world, litter=True)) == {OLD: "no ref names it"}


def test_what_is_young_stays_unless_it_is_named(world: World) -> None:
    two_revisions(world)
    young = select(world, litter=True, now=time.time())
    assert young.garbage == ()
    assert [(kept.commit, kept.reason) for kept in young.kept] == [(OLD, "young")]
    assert revisions(select(world, targets=(parse_target(f"org/model@{OLD}"),), now=time.time())) == {OLD: "named"}


def test_a_repo_without_refs_was_pulled_by_commit(world: World) -> None:
    world.pull(model_of(BASE, commit=OLD, revision=OLD), BASE)
    assert select(world, litter=True).garbage == ()


@pytest.mark.parametrize("content", [b"", b"main", b"\xff", OLD.encode() + b"x"])
def test_an_unreadable_ref_keeps_all_of_the_repo(world: World, content: bytes) -> None:
    before, _ = two_revisions(world)
    world.layout.ref_file(before.ref.repo, "odd").write_bytes(content)
    choice = select(world, litter=True, older_than=0, keep_size=0)
    assert revisions(choice) == {}
    assert {kept.reason for kept in choice.kept} == {"a ref of the repo cannot be read"}
    assert revisions(select(world, targets=(parse_target("org/model"),))).keys() == {OLD, NEW}


def test_pins_outrank_everything(world: World) -> None:
    two_revisions(world)
    for pin, stays in (("org/model", {OLD, NEW}), (f"org/model@{OLD}", {OLD}), ("org/model@main", {NEW})):
        pins_of(world).add([parse_target(pin)])
        choice = select(world, litter=True, older_than=0, keep_size=0, targets=(parse_target("org/model"),))
        assert revisions(choice).keys() == {OLD, NEW} - stays
        assert {kept.commit for kept in choice.kept} == stays
        pins_of(world).remove([parse_target(pin)])
    assert pins_of(world).load() == frozenset()


def test_a_pin_that_came_meanwhile_counts(world: World) -> None:
    two_revisions(world)
    choice = select(world, litter=True)
    pins_of(world).add([parse_target("org/model")])
    (swept,) = act(world, choice)
    assert swept.gone == ()
    assert world.layout.snapshot(model_of().ref.repo, OLD).exists()


def test_unreadable_pins_stop_everything(world: World) -> None:
    (world.state / "pins.json").write_text("{")
    with pytest.raises(DiskIOError, match="pinned"):
        select(world)


def test_by_age_of_last_use(world: World) -> None:
    before, after = two_revisions(world)
    blob = world.blob(before, "README.md")
    for path in world.layout.repo_dir(before.ref.repo).glob("blobs/*"):
        os.utime(path, (LATER - 100 * 86400, LATER - 100 * 86400))
    os.utime(world.blob(after, "README.md"), (LATER - 86400, LATER - 100 * 86400))
    choice = select(world, older_than=50 * 86400)
    assert revisions(choice) == {OLD: "not used for 100 days"}
    assert blob.exists()


def test_by_size_the_longest_unused_go_first(world: World) -> None:
    sizes = {"org/a": 1000, "org/b": 2000, "org/c": 3000}
    for age, (name, size) in enumerate(sizes.items()):
        data = {"x.safetensors": name.encode() * (size // len(name))}
        model = model_of(data, name=name, commit=f"{age:040x}")
        world.pull(model, data)
        os.utime(world.blob(model, "x.safetensors"), (LATER - 1000 + age, LATER - 1000 + age))
    total = used(world)
    assert revisions(select(world, keep_size=total)) == {}
    assert revisions(select(world, keep_size=total - 1)).keys() == {f"{0:040x}"}
    assert revisions(select(world, keep_size=3000)).keys() == {f"{0:040x}", f"{1:040x}"}
    choice = select(world, keep_size=0)
    assert freed(act(world, choice)) == total == sum(item.frees for item in choice.garbage)
    assert census.take(world.layout).repos == ()


def test_a_whole_repo_goes_with_what_we_know_of_it(world: World) -> None:
    before, after = two_revisions(world)
    records = Records(world.state)
    records.save(after.ref.repo, Record(after.tree, after.trust))
    records.saw(after.ref.repo, "main", Seen(NEW, None), "https://hub.example")
    act(world, select(world, targets=(parse_target("org/model"),)))
    assert not world.layout.repo_dir(before.ref.repo).exists()
    assert hf_scan(world) == []
    assert records.load(after.ref.repo, NEW) is None
    assert records.last_seen(after.ref.repo, "main") == NEW, "an older commit cannot be passed off as new by a clean-up"
    assert world.cache.proofs.of(before.ref.repo.folder) == {}
    assert list((world.state / "stage").iterdir()) == []
    world.pull(after, BASE | {"README.md": b"second"})
    assert world.cache.is_complete(after)


def test_orphans_go_when_they_are_old(world: World) -> None:
    model = model_of(BASE)
    world.pull(model, BASE)
    orphan = world.layout.repo_dir(model.ref.repo) / "blobs" / ("0" * 40)
    orphan.write_bytes(b"nobody")
    assert select(world, litter=True, now=time.time()).garbage == ()
    choice = select(world, litter=True)
    assert [(item.kind, item.path, item.frees) for item in choice.garbage] == [(Kind.BLOB, orphan, 6)]
    act(world, choice)
    assert not orphan.exists()
    assert hf_offline(world, model) == BASE


def test_a_blob_that_was_linked_meanwhile_stays(world: World) -> None:
    model = model_of(BASE)
    world.pull(model, BASE)
    link = world.layout.snapshot(model.ref.repo, model.commit) / "config.json"
    target = link.readlink()
    link.unlink()
    choice = select(world, litter=True)
    assert [item.path.name for item in choice.garbage] == [target.name]
    link.symlink_to(target)
    (swept,) = act(world, choice)
    assert swept.gone == ()
    assert link.read_bytes() == BASE["config.json"]


@pytest.mark.parametrize("who", ["pull", "hf"])
def test_a_repo_at_which_somebody_works_is_left_alone(world: World, who: str) -> None:
    before, _ = two_revisions(world)
    choice = select(world, litter=True)
    if who == "pull":
        with world.cache.use() as use:
            assert use.hold([before.ref.repo.folder])
            assert not use.hold([before.ref.repo.folder])
            (swept,) = act(world, choice)
    else:
        lock = world.layout.locks_dir / before.ref.repo.folder / f"{'0' * 64}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            (swept,) = act(world, choice)
    assert swept.gone == ()
    assert "at work" in swept.kept[0].reason
    assert freed(act(world, choice)) == 3


def test_hard_links_free_with_the_last_of_them(world: World, tmp_path: Path) -> None:
    one, two = model_of(BASE, name="org/one"), model_of(BASE, name="org/two")
    world.pull(one, BASE)
    world.pull(two, BASE)
    seen = census.take(world.layout)
    assert list(freed_by(seen).values()) == [0, 0]
    (item,) = select(world, targets=(parse_target("org/one"),)).garbage
    assert (item.size, item.frees) == (BYTES, 0)
    both = select(world, targets=(parse_target("org/one"), parse_target("org/two")))
    assert [item.frees for item in both.garbage] == [0, BYTES]
    os.link(world.blob(one, "base.safetensors"), tmp_path / "project")
    both = select(world, targets=(parse_target("org/one"), parse_target("org/two")))
    assert sum(item.frees for item in both.garbage) == BYTES - 5000
    assert freed(act(world, both)) == BYTES - 5000
    assert (tmp_path / "project").read_bytes() == BASE["base.safetensors"]


def test_the_shared_store_of_huggingface_hub(world: World) -> None:
    xet = "ab" * 32
    models = [model_of(BASE, name=name) for name in ("org/one", "org/two")]
    for model in models:
        world.pull(model, BASE)
        blob = world.blob(model, "base.safetensors")
        blob.chmod(0o644)
        assert publish_blob_to_shared_store(
            blob_path=str(blob), xet_hash=xet, cache_dir=world.layout.cache_dir, expected_size=5000
        )
    store = world.layout.cache_dir / "blobs" / xet[:2] / xet
    first = select(world, targets=(Target(models[0].ref.repo),))
    assert sum(item.frees for item in first.garbage) == 0
    act(world, first)
    assert hf_offline(world, models[1]) == BASE
    last = select(world, targets=(Target(models[1].ref.repo),))
    assert sum(item.frees for item in last.garbage) == BYTES
    assert freed(act(world, last)) == BYTES
    assert not store.exists()
    assert not store.with_name(f"{xet}.refs").exists()
    assert hf_scan(world) == []


def test_a_cache_without_symlinks_is_collected(tmp_path: Path) -> None:
    world = World(tmp_path, use_symlinks=False)
    first, second = BASE | {"README.md": b"one"}, BASE | {"README.md": b"second"}
    world.pull(model_of(first, commit=OLD), first)
    after = model_of(second, commit=NEW)
    world.pull(after, second)
    choice = select(world, litter=True)
    assert revisions(choice).keys() == {OLD}
    act(world, choice)
    assert hf_offline(world, after) == second
    assert world.cache.is_complete(after)


def test_planted_symlinks_are_not_followed(world: World, tmp_path: Path) -> None:
    before, _ = two_revisions(world)
    # A folder that others may write to, where any of them could have put it.
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    elsewhere = tmp_path / "open" / "elsewhere"
    world.layout.repo_dir(before.ref.repo).rename(elsewhere)
    world.layout.repo_dir(before.ref.repo).symlink_to(elsewhere)
    assert census.take(world.layout).repos == ()
    assert sum(1 for path in elsewhere.rglob("*") if path.is_file()) > 3


@pytest.mark.parametrize("name", ["blobs", "snapshots", "refs", "trees", ".no_exist"])
def test_nothing_is_removed_through_a_planted_symlink(world: World, tmp_path: Path, name: str) -> None:
    before, _ = two_revisions(world)
    repo_dir, elsewhere = world.layout.repo_dir(before.ref.repo), tmp_path / "elsewhere"
    choice = select(world, targets=(parse_target("org/model"),))
    assert len(choice.garbage) == 2
    (repo_dir / ".no_exist" / OLD).mkdir(parents=True)
    (repo_dir / ".no_exist" / OLD / "file").write_bytes(b"")
    (repo_dir / name).rename(elsewhere)
    (repo_dir / name).symlink_to(elsewhere)
    kept = sorted(elsewhere.rglob("*"))
    if name == ".no_exist":
        act(world, choice)
    else:
        with pytest.raises(UnsafeError, match="symlink"):
            act(world, choice)
    assert sorted(elsewhere.rglob("*")) == kept


def test_a_snapshot_in_the_stage_is_swept_by_and_by(world: World) -> None:
    """What a killed gc leaves there is a folder."""
    trash = world.state / "stage" / processes.scratch_name().replace(f"-{os.getpid()}-", "-999999999-")
    (trash / "sub").mkdir(parents=True)
    os.utime(trash, (1, 1))
    assert world.staging.sweep() == 1
    assert not trash.exists()


def test_a_run_that_can_make_no_lock_goes_on_without(world: World) -> None:
    """As on a read-only file system, where a complete model needs nothing written."""
    (world.state / "use").write_bytes(b"in the way")
    with world.cache.use() as use:
        assert use.hold(["models--org--model"])
        assert not use.hold(["models--org--model"])
