"""What is placed is what the real huggingface_hub reads, and what is found is what is there."""

import json
import multiprocessing
import os
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from huggingface_hub import _tree_cache, scan_cache_dir
from huggingface_hub.errors import IncompleteSnapshotError
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

from orchestrator.cache import placing
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.core.refs import RepoType
from orchestrator.disk import durability
from orchestrator.disk.folders import Folder
from orchestrator.disk.locks import Patience, blob_lock
from orchestrator.errors import CannotCreateError, DiskIOError, IntegrityError, UnsafeError
from tests.cache.world import COMMIT, CONTENT, World, hf_offline, hf_scan, model_of, repo_file

WEIGHTS = "weights/model-00001.safetensors"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("kind", list(RepoType))
def test_a_pulled_repo_is_read_by_huggingface_hub(world: World, kind: RepoType) -> None:
    model = model_of(kind=kind)
    assert not world.cache.is_complete(model)
    world.pull(model)
    assert world.cache.is_complete(model)
    assert hf_offline(world, model) == CONTENT
    assert hf_scan(world) == []
    (repo,) = scan_cache_dir(world.layout.cache_dir).repos
    assert (repo.repo_type, repo.repo_id, set(repo.refs)) == (kind.value, "org/model", {"main"})
    assert repo.nb_files == len(set(CONTENT.values()))
    assert list(world.staging.folder.iterdir()) == []


def test_a_repo_without_an_organisation_and_a_nested_ref(world: World) -> None:
    model = model_of(name="gpt2", revision="refs/pr/1")
    world.pull(model)
    assert world.layout.ref_file(model.ref.repo, "refs/pr/1").read_bytes() == COMMIT.encode()
    assert hf_offline(world, model) == CONTENT
    (repo,) = scan_cache_dir(world.layout.cache_dir).repos
    assert set(repo.refs) == {"refs/pr/1"}


def test_a_revision_that_is_a_commit_gets_no_ref(world: World) -> None:
    model = model_of(revision=COMMIT)
    world.pull(model)
    assert not (world.layout.repo_dir(model.ref.repo) / "refs").exists()
    assert world.cache.is_complete(model)
    assert hf_offline(world, model) == CONTENT


def test_the_files_are_byte_for_byte_those_of_huggingface_hub(world: World, tmp_path: Path) -> None:
    model = model_of()
    world.pull(model)
    theirs = {
        file.path: _tree_cache.TreeCacheEntry(
            size=file.size,
            blob_id=str(file.git_oid),
            lfs_sha256=file.digest.hex if file.is_lfs else None,
            lfs_size=file.size if file.is_lfs else None,
        )
        for file in model.tree.files
    }
    _tree_cache.write_tree_cache(str(tmp_path / "theirs"), COMMIT, theirs)
    ours = world.layout.tree_file(model.ref.repo, COMMIT)
    assert ours.read_bytes() == (tmp_path / "theirs" / "trees" / f"{COMMIT}.json").read_bytes()
    snapshot = world.cache.snapshot(model)
    for path, up in (("config.json", "../../"), ("sub/deep/notes.md", "../../../../")):
        assert str((snapshot / path).readlink()) == f"{up}blobs/{repo_file(path, CONTENT[path]).blob_name}"


def test_modes_follow_the_umask_as_those_of_huggingface_hub(world: World) -> None:
    model = model_of()
    before = os.umask(0o027)
    try:
        world.pull(model)
    finally:
        os.umask(before)
    assert stat.S_IMODE(world.blob(model, WEIGHTS).stat().st_mode) == 0o640
    assert stat.S_IMODE(world.layout.tree_file(model.ref.repo, COMMIT).stat().st_mode) == 0o640


def test_a_partial_pull_is_used_offline_as_one_of_huggingface_hub(world: World) -> None:
    model = model_of(include=("*.json", "sub/"))
    world.pull(model)
    assert world.cache.is_complete(model)
    assert set(hf_offline(world, model, allow_patterns=["*.json", "sub/"])) == {
        "config.json",
        "sub/deep/notes.md",
        "sub/same.md",
    }
    with pytest.raises(IncompleteSnapshotError):
        hf_offline(world, model)
    whole = model_of()
    assert not world.cache.is_complete(whole)
    world.pull(whole)
    assert hf_offline(world, whole) == CONTENT


def test_a_repo_of_no_files_is_published(world: World) -> None:
    model = model_of({})
    assert not world.cache.is_complete(model)
    world.pull(model, {})
    assert world.cache.is_complete(model)
    assert hf_scan(world) == []


def test_no_listing_is_written_when_a_git_id_is_unknown(world: World) -> None:
    data = b"x"
    digest = Digest(Algorithm.SHA256, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    file = RepoFile("configuration.json", 1, digest, is_lfs=False)
    tree = RepoTree.checked(COMMIT, [file])
    model = ResolvedModel(model_of().ref, tree, tree, model_of().trust)
    world.pull(model, {file.path: data})
    assert world.cache.is_complete(model)
    assert not world.layout.tree_file(model.ref.repo, COMMIT).exists()
    assert hf_offline(world, model) == {file.path: data}


def test_a_listing_with_xet_hashes_is_kept_and_a_wrong_one_replaced(world: World) -> None:
    model = model_of()
    world.pull(model)
    tree = world.layout.tree_file(model.ref.repo, COMMIT)
    data = json.loads(tree.read_text())
    data["files"][WEIGHTS]["xet_hash"] = "ab" * 32
    tree.write_text(json.dumps(data))
    assert world.cache.is_complete(model)
    world.cache.publish(model)
    assert "xet_hash" in tree.read_text()
    for bad in ("", "[]", '{"format_version": 1}', '{"format_version": 1, "files": {"a": 1}}'):
        tree.write_text(bad)
        assert not world.cache.is_complete(model)
        world.cache.publish(model)
        assert world.cache.is_complete(model)


@pytest.mark.parametrize("harm", ["ref", "ref newline", "link", "other link", "blob", "touched", "proofs"])
def test_what_is_not_complete_any_more_is_seen(world: World, harm: str) -> None:
    model = model_of()
    world.pull(model)
    ref = world.layout.ref_file(model.ref.repo, "main")
    entry = world.cache.snapshot(model) / "config.json"
    if harm == "ref":
        ref.write_text("0" * 40)
    elif harm == "ref newline":
        ref.write_text(f"{COMMIT}\n")
    elif harm == "link":
        entry.unlink()
    elif harm == "other link":
        entry.unlink()
        entry.symlink_to(world.blob(model, "config.json"))
    elif harm == "blob":
        world.blob(model, "config.json").unlink()
    elif harm == "touched":
        os.utime(world.blob(model, "config.json"))
    else:
        (world.state / "proofs" / "models--org--model.json").write_text("{")
    assert not world.cache.is_complete(model)
    world.pull(model)
    assert world.cache.is_complete(model)
    assert hf_offline(world, model) == CONTENT


def test_a_new_commit_fetches_only_what_changed(world: World) -> None:
    world.pull(model_of())
    content = CONTENT | {"config.json": b"new"}
    second = model_of(content, commit="1" * 40)
    found = world.find(second)
    missing = [file.path for file in second.wanted.files if found[file.digest].have is Have.NOTHING]
    assert missing == ["config.json"]
    world.pull(second, content)
    assert hf_offline(world, second) == content
    assert hf_offline(world, model_of(revision=COMMIT)) == CONTENT
    assert hf_scan(world) == []


def test_a_blob_of_another_repo_is_linked_not_fetched(world: World) -> None:
    world.pull(model_of())
    other = model_of(name="org/copy")
    found = world.find(other)
    assert {item.have for item in found.values()} == {Have.ELSEWHERE}
    world.pull(other, {})
    assert world.cache.is_complete(other)
    assert hf_offline(world, other) == CONTENT
    assert world.blob(other, WEIGHTS).samefile(world.blob(model_of(), WEIGHTS))
    assert hf_scan(world) == []
    assert world.staging.litter() == ()
    world.cache.link(other.ref.repo, COMMIT, [(f, Path(str(found[f.digest].path))) for f in other.wanted.files])
    assert list(world.staging.folder.iterdir()) == []


def test_files_come_from_the_stage_from_here_and_from_another_repo(world: World) -> None:
    content = CONTENT | {"fresh.txt": b"fresh", "twice.txt": b"fresh", "here.txt": b"here"}
    world.pull(model_of())
    world.pull(model_of({"here.txt": b"here"}, name="org/copy"), {"here.txt": b"here"})
    new = model_of(content, commit="1" * 40, name="org/copy")
    fresh = next(file for file in new.wanted.files if file.path == "fresh.txt")
    staged = {fresh.digest: world.stage(fresh, b"fresh")}
    world.cache.settle(new.ref.repo, new.commit, new.wanted.files, staged)
    assert staged == {}, "the next repo finds it in the cache"
    world.cache.publish(new)
    assert hf_offline(world, new) == content
    assert list(world.staging.folder.iterdir()) == []


def test_a_file_that_is_nowhere_is_named(world: World) -> None:
    model = model_of()
    with pytest.raises(IntegrityError, match="vanished") as caught:
        world.cache.settle(model.ref.repo, model.commit, model.wanted.files, {})
    assert caught.value.file in CONTENT


def test_where_hard_links_fail_the_blob_is_copied_and_verified(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.pull(model_of())
    other = model_of(name="org/copy")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    world.pull(other, {})
    assert world.cache.is_complete(other)
    assert hf_offline(world, other) == CONTENT
    assert not world.blob(other, WEIGHTS).samefile(world.blob(model_of(), WEIGHTS))
    assert list(world.staging.folder.iterdir()) == []


def test_a_source_that_rotted_since_is_not_linked(world: World) -> None:
    first, other = model_of(), model_of(name="org/copy")
    world.pull(first)
    found = world.find(other)
    blob = world.blob(first, WEIGHTS)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    file = next(file for file in other.wanted.files if file.path == WEIGHTS)
    with pytest.raises(IntegrityError):
        world.cache.link(other.ref.repo, COMMIT, [(file, blob)])
    assert found[file.digest].path == blob
    assert not world.blob(other, WEIGHTS).exists()
    assert list(world.staging.folder.iterdir()) == []


def hf_layout(world: World, content: dict[str, bytes] = CONTENT) -> ResolvedModel:
    """A cache as huggingface_hub leaves it: no proofs of ours."""
    model = model_of(content)
    world.pull(model, content)
    for name in ("proofs", "repos"):
        for path in (world.state / name).iterdir():
            path.unlink()
    return model


def test_blobs_of_huggingface_hub_are_proven_once(world: World) -> None:
    model = hf_layout(world)
    found = world.find(model)
    assert {item.have for item in found.values()} == {Have.UNPROVEN}
    read: list[int] = []
    for file in {file.digest: file for file in model.wanted.files}.values():
        assert world.cache.prove(model.ref.repo, file, on_bytes=read.append)
    assert sum(read) == sum(map(len, set(CONTENT.values())))
    assert {item.have for item in world.find(model).values()} == {Have.PLACED}
    assert world.cache.is_complete(model)


def test_wrong_bytes_of_the_right_size_are_found_and_removed(world: World) -> None:
    model = hf_layout(world)
    blob = world.blob(model, WEIGHTS)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    file = next(file for file in model.wanted.files if file.path == WEIGHTS)
    assert not world.cache.prove(model.ref.repo, file)
    assert not blob.exists()
    assert not (world.cache.snapshot(model) / WEIGHTS).is_symlink()
    assert hf_scan(world) == []
    with pytest.raises(IncompleteSnapshotError):
        hf_offline(world, model)
    world.pull(model)
    assert hf_offline(world, model) == CONTENT


@pytest.mark.parametrize("is_right", [True, False])
def test_a_blob_that_is_suspected_is_missing_until_it_was_read_again(world: World, *, is_right: bool) -> None:
    model = hf_layout(world)
    world.pull(model)
    blob = world.blob(model, WEIGHTS)
    if not is_right:
        blob.write_bytes(b"\0" * blob.stat().st_size)
    file = next(file for file in model.wanted.files if file.path == WEIGHTS)
    world.cache.remove_blob(model.ref.repo, file.digest, blob.stat(), keep=True)
    assert blob.exists()
    assert world.find(model)[file.digest].have is Have.UNPROVEN
    with pytest.raises(IncompleteSnapshotError):
        hf_offline(world, model)
    world.pull(model, {} if is_right else CONTENT)
    assert hf_offline(world, model) == CONTENT


def test_a_blob_of_the_wrong_size_is_nothing(world: World) -> None:
    model = hf_layout(world)
    world.blob(model, WEIGHTS).write_bytes(b"short")
    file = next(file for file in model.wanted.files if file.path == WEIGHTS)
    assert world.find(model)[file.digest].have is Have.NOTHING
    world.pull(model)
    assert hf_offline(world, model) == CONTENT


def test_the_shared_store_of_huggingface_hub_is_understood(world: World) -> None:
    model = hf_layout(world)
    blob = world.blob(model, WEIGHTS)
    shared = publish_blob_to_shared_store(
        blob_path=str(blob), xet_hash="ab" * 32, cache_dir=world.layout.cache_dir, expected_size=blob.stat().st_size
    )
    assert shared
    assert blob.is_symlink()
    file = next(file for file in model.wanted.files if file.path == WEIGHTS)
    assert world.find(model)[file.digest].have is Have.UNPROVEN
    world.pull(model)
    assert world.cache.is_complete(model)
    assert blob.is_symlink()
    other = model_of(name="org/copy")
    world.pull(other, {})
    assert not world.blob(other, WEIGHTS).is_symlink()
    assert hf_offline(world, other) == CONTENT
    assert hf_scan(world) == []


def test_a_planted_blob_link_that_leaves_the_cache_is_not_followed(world: World, tmp_path: Path) -> None:
    model = hf_layout(world)
    outside = tmp_path / "outside"
    blob = world.blob(model, WEIGHTS)
    blob.rename(outside)
    blob.symlink_to(outside)
    file = next(file for file in model.wanted.files if file.path == WEIGHTS)
    assert world.find(model)[file.digest].have is Have.NOTHING
    assert not world.cache.prove(model.ref.repo, file)
    outside.write_bytes(b"theirs")
    world.pull(model)
    assert not blob.is_symlink()
    assert outside.read_bytes() == b"theirs"
    assert hf_offline(world, model) == CONTENT


@pytest.mark.parametrize("where", ["", "blobs", "snapshots", "refs", "trees", f"snapshots/{COMMIT}", "snapshot sub"])
def test_nothing_is_written_through_a_planted_folder_link(world: World, tmp_path: Path, where: str) -> None:
    model, outside = model_of(), tmp_path / "outside"
    outside.mkdir()
    where = f"snapshots/{COMMIT}/sub" if where == "snapshot sub" else where
    planted = world.layout.repo_dir(model.ref.repo) / where
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.symlink_to(outside)
    with pytest.raises(UnsafeError, match="symlink"):
        world.pull(model)
    assert list(outside.iterdir()) == []


def test_a_snapshot_entry_that_is_something_else_is_replaced(world: World, tmp_path: Path) -> None:
    model, outside = model_of(), tmp_path / "outside"
    outside.write_bytes(b"theirs")
    snapshot = world.cache.snapshot(model)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(outside)
    (snapshot / "empty.txt").write_bytes(b"theirs")
    world.pull(model)
    assert hf_offline(world, model) == CONTENT
    assert outside.read_bytes() == b"theirs"
    assert list(world.staging.folder.iterdir()) == []


def test_a_folder_in_the_way_is_an_error_that_names_it(world: World) -> None:
    model = model_of()
    (world.cache.snapshot(model) / "config.json").mkdir(parents=True)
    with pytest.raises(CannotCreateError, match=r"config\.json"):
        world.pull(model)
    assert not world.layout.ref_file(model.ref.repo, "main").exists()


def test_a_file_changed_while_it_is_placed_is_not_placed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of({"config.json": b"right"})
    entries = world.entries(model.wanted.files, {"config.json": b"right"})
    monkeypatch.setattr(placing, "sync_files", lambda paths: [path.write_bytes(b"wrong") for path in paths])
    with pytest.raises(IntegrityError, match="changed"):
        world.cache.place(model.ref.repo, COMMIT, entries)
    assert not world.blob(model, "config.json").exists()


def test_a_proven_blob_is_kept_and_a_forgotten_one_replaced(world: World) -> None:
    model = model_of()
    world.pull(model)
    blob = world.blob(model, WEIGHTS)
    first = blob.stat().st_ino
    world.cache.place(model.ref.repo, COMMIT, world.entries(model.wanted.files, CONTENT))
    assert blob.stat().st_ino == first
    assert list(world.staging.folder.iterdir()) == []
    world.cache.proofs.forget(model.ref.repo.folder, [file.digest for file in model.wanted.files])
    world.cache.place(model.ref.repo, COMMIT, world.entries(model.wanted.files, CONTENT))
    assert blob.stat().st_ino != first
    assert world.cache.is_complete(model)


def test_a_shared_cache_hands_its_group_down(world: World) -> None:
    group = 4321 if os.getuid() == 0 else next((gid for gid in os.getgroups() if gid != os.getgid()), None)
    if group is None:
        pytest.skip("needs a second group")
    world.layout.cache_dir.mkdir(exist_ok=True)
    os.chown(world.layout.cache_dir, -1, group)
    world.layout.cache_dir.chmod(0o2775)
    model = model_of()
    world.pull(model)
    assert {path.stat().st_gid for path in world.blob(model, WEIGHTS).parent.iterdir()} == {group}


def test_no_link_is_made_to_a_blob_that_is_gone(world: World) -> None:
    model = model_of()
    with pytest.raises(DiskIOError, match="blobs"):
        world.cache.expose(model.ref.repo, COMMIT, model.wanted.files)
    assert not any(path.is_symlink() for path in world.cache.snapshot(model).iterdir())


def test_a_file_changed_after_verification_is_not_placed(world: World) -> None:
    model = model_of({"config.json": b"right"})
    entries = world.entries(model.wanted.files, {"config.json": b"right"})
    world.staging.part(entries[0][1].digest).write_bytes(b"wrong")
    with pytest.raises(IntegrityError, match="changed"):
        world.cache.place(model.ref.repo, COMMIT, entries)
    assert not world.blob(model, "config.json").exists()


@pytest.mark.parametrize("links_work", [True, False])
def test_without_symlinks_real_files_lie_in_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links_work: bool
) -> None:
    world = World(tmp_path, use_symlinks=False)
    if not links_work:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "no")))
    model = model_of()
    world.pull(model)
    snapshot = world.cache.snapshot(model)
    assert not any(path.is_symlink() for path in snapshot.rglob("*"))
    assert hf_offline(world, model) == CONTENT
    assert hf_scan(world) == []
    assert world.cache.is_complete(model)
    before = {path: path.stat().st_ino for path in snapshot.rglob("*")}
    world.pull(model)
    assert before == {path: path.stat().st_ino for path in snapshot.rglob("*")}


def test_a_file_system_without_symlinks_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "symlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "no")))
    model = model_of()
    world.pull(model)
    assert world.cache.is_complete(model)
    assert hf_offline(world, model) == CONTENT


def test_a_stage_on_another_volume_still_gets_into_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Folder.replace

    def across(folder: Folder, source: str | Path, name: str, *, source_in: Folder | None = None) -> None:
        if Path(source).parent == world.staging.folder and folder.path.name == "blobs":
            raise OSError(18, "Invalid cross-device link")
        replace(folder, source, name, source_in=source_in)

    monkeypatch.setattr(Folder, "replace", across)
    model = model_of()
    world.pull(model)
    assert world.cache.is_complete(model)
    assert hf_offline(world, model) == CONTENT
    assert list(world.staging.folder.iterdir()) == []
    assert not scan_cache_dir(world.layout.cache_dir).incomplete_files


@pytest.mark.parametrize("many", [1, 10_000])
def test_what_is_visible_was_made_durable_before(world: World, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Content before the rename, the renames before the links, the links and the listing before the ref."""
    steps: list[str] = []
    repo_dir = world.layout.repo_dir(model_of().ref.repo)

    def note(verb: str, path: object) -> None:
        text = str(path)
        kinds = {"stage": "part", "blobs": "blob", "snapshots": "link", "trees": "tree", "refs": "ref"}
        kind = next((kinds[part] for part in kinds if f"/{part}" in text.removeprefix(str(repo_dir.parent.parent))), "")
        if kind:
            steps.append(f"{verb} {kind}")

    def everything(_fd: int) -> int:
        steps.extend(f"sync {kind}" for kind in ("part", "blob", "link", "tree", "ref"))
        return 0

    def noted(step: Callable[..., None]) -> Callable[..., None]:
        """A rename or symlink into an open folder, noted."""

        def call(source: object, target: str, *, dst_dir_fd: int | None = None, **options: int | None) -> None:
            into = dst_dir_fd if dst_dir_fd is not None else options.get("dir_fd")
            note("name", target if into is None else Path(f"/proc/self/fd/{into}").readlink() / target)
            step(source, target, **({} if dst_dir_fd is None else {"dst_dir_fd": dst_dir_fd}), **options)

        return call

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (note("sync", Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd)))
    monkeypatch.setattr(os, "replace", noted(os.replace))
    monkeypatch.setattr(os, "symlink", noted(os.symlink))
    monkeypatch.setattr(durability, "_syncfs", lambda: everything)
    monkeypatch.setattr(durability, "MANY", many)
    world.pull(model_of())

    def first(step: str) -> int:
        return steps.index(step)

    def last(step: str) -> int:
        return len(steps) - 1 - steps[::-1].index(step)

    assert first("sync part") < first("name blob")
    for earlier, later in (("blob", "link"), ("link", "ref"), ("tree", "ref")):
        between = steps[last(f"name {earlier}") : first(f"name {later}")]
        assert f"sync {earlier}" in between, f"a {later} appears before its {earlier} is durable"
    assert first("name ref") < last("sync ref")
    parts = steps[: first("name blob")].count("sync part")
    assert parts == (len(set(CONTENT.values())) if many > 1 else 2)


def test_a_lock_that_huggingface_hub_holds_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    from filelock import FileLock

    path = tmp_path / "etag.lock"
    with blob_lock(path) as held:
        assert not held
    with FileLock(path, mode=0o664):
        start = time.monotonic()
        patience = Patience(0.05)
        with blob_lock(path, patience) as held:
            assert not held
        assert patience.seconds <= 0
        with blob_lock(path, patience) as held:  # it waits no more
            assert not held
        assert time.monotonic() - start < 8
    with blob_lock(path) as held:
        assert held
        assert not _try(FileLock(path, blocking=False))


def _try(lock: object) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)  # type: ignore[attr-defined]
    except Timeout:
        return False
    return True


def _pull(home: Path, barrier: object) -> None:
    world = World(home)
    model = model_of()
    # Each stages under a name of its own: this is about placing, claims are tested elsewhere.
    world.staging.folder = world.staging.folder / str(os.getpid())
    world.staging.folder.mkdir()
    entries = world.entries(model.wanted.files, CONTENT)
    barrier.wait()  # type: ignore[attr-defined]
    world.cache.place(model.ref.repo, COMMIT, entries)
    world.cache.publish(model)


def test_many_processes_may_place_the_same_files_at_once(world: World, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    runs = [context.Process(target=_pull, args=(tmp_path, barrier)) for _ in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(30)
    assert [run.exitcode for run in runs] == [0] * 6
    model = model_of()
    assert hf_offline(world, model) == CONTENT
    assert hf_scan(world) == []
    assert world.cache.is_complete(model)


def test_a_look_at_a_file_is_one_stat_and_one_link(world: World) -> None:
    """No file is opened and none locked, so that a look at thousands takes milliseconds."""
    looks = []
    for count in (100, 300):
        content = {f"d{index % 20}/{index}.json": b"%d" % index for index in range(count)}
        model = model_of(content, name=f"org/model-{count}")
        world.pull(model, content)
        looks.append(system_calls(partial(world.cache.is_complete, model)))
    assert looks[1] - looks[0] == {"stat": 200, "readlink": 200}


def system_calls(look: Callable[[], bool]) -> Counter[str]:
    """How often a look that finds all there calls the system, by the name of the call; ids of users do not count."""
    calls: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called.__module__ in ("posix", "fcntl", "io", "_io") and called is not os.geteuid:
            calls[called.__name__] += 1

    sys.setprofile(note)
    try:
        is_complete = look()
    finally:
        sys.setprofile(None)
    assert is_complete
    return calls
