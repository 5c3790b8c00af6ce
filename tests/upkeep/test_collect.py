"""`cache gc`, `rm`, `ls` and `du` on a cache in a folder: what goes, what stays, and who uses how much."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.cache.census import CachedRepo, read_repo
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.errors import NotFoundError, UnsafeError
from orchestrator.upkeep.collect import PART_AGE, Collected, collect
from orchestrator.upkeep.contents import contents
from orchestrator.upkeep.garbage import Kind, Rules
from tests import plain
from tests.plain import FILES, ONE, REPO, TWO

OTHER_REPO = RepoId(RepoType.MODEL, "org/other")
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def gc(cache: Cache, *targets: Target, act: bool = True, **rules: Any) -> Collected:
    return collect(Rules(time.time() + 7200, targets=targets, **rules), cache, act=act)


def part(cache: Cache, age: float) -> Path:
    path = cache.staging.part(plain.file_of("c.safetensors", b"c").digest)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_without_a_rule_nothing_goes(cache: Cache) -> None:
    plain.put(cache)
    found = gc(cache)
    assert (found.garbage, found.bytes_freed, found.is_done) == ((), 0, True)


def test_a_dry_run_removes_nothing(cache: Cache) -> None:
    plain.put(cache)
    found = gc(cache, Target(REPO), act=False)
    assert not found.is_done
    assert found.bytes_freed == SIZE
    assert cache.blobs.is_complete(plain.model_of())


def test_a_named_model_goes_with_its_bytes(cache: Cache) -> None:
    plain.put(cache)
    assert gc(cache, Target(REPO)).bytes_freed == SIZE
    assert not cache.layout.repo_dir(REPO).exists()
    assert cache.records.load(REPO, ONE) is None


def test_a_model_that_is_not_there_cannot_go(cache: Cache) -> None:
    plain.put(cache)
    for target in (Target(OTHER_REPO), Target(REPO, "v9")):
        with pytest.raises(NotFoundError, match="is not in the cache"):
            gc(cache, target)


def test_a_pinned_model_stays_and_says_how_to_let_go(cache: Cache) -> None:
    plain.put(cache)
    cache.pins.add([Target(REPO)])
    with pytest.raises(UnsafeError, match="is pinned") as caught:
        gc(cache, Target(REPO))
    assert caught.value.hint == "glm-aria cache unpin org/m"
    assert cache.blobs.is_complete(plain.model_of())


def test_a_revision_without_a_ref_is_litter_and_shared_blobs_stay(cache: Cache) -> None:
    plain.put(cache)
    plain.put(cache, {**FILES, "config.json": b"[]"}, commit=TWO)
    found = gc(cache, litter=True)
    assert [item.commit for item in found.garbage if item.kind is Kind.REVISION] == [ONE]
    assert found.bytes_freed == len(FILES["config.json"])
    assert cache.blobs.is_complete(plain.model_of({**FILES, "config.json": b"[]"}, TWO))


class Looks:
    """Counts the looks at a repo, and lets somebody act before one of them."""

    def __init__(self, before: Mapping[int, Callable[[], object]] | None = None) -> None:
        self.count, self._before = 0, before or {}

    def __call__(self, *args: Any) -> CachedRepo | None:
        self.count += 1
        self._before.get(self.count, lambda: None)()
        return read_repo(*args)


def put_loose(cache: Cache, count: int) -> list[Path]:
    """Blobs without a link."""
    found = [cache.layout.blob(REPO, plain.file_of("x.safetensors", b"loose %d" % n).digest) for n in range(count)]
    for path in found:
        path.write_bytes(b"loose")
    return found


@pytest.mark.parametrize("count", [100, 1200])
def test_the_links_are_looked_at_as_often_for_many_blobs_as_for_few(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    plain.put(cache, {f"{number}.json": b"%d" % number for number in range(count)})
    loose = put_loose(cache, count)
    monkeypatch.setattr("orchestrator.upkeep.sweep.read_repo", looks := Looks())
    assert len(gc(cache, litter=True).garbage) == count
    assert not any(path.exists() for path in loose)
    assert looks.count <= 2 + 2 * 3  # at first and at last, and before and after each third of the blobs


def test_a_blob_that_is_linked_while_it_goes_is_put_back(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.put(cache)
    loose = sorted(put_loose(cache, 3))
    link = cache.layout.snapshot(REPO, ONE) / "late.safetensors"
    act = {3: lambda: link.symlink_to(f"../../blobs/{loose[1].name}")}
    monkeypatch.setattr("orchestrator.upkeep.sweep.read_repo", Looks(act))
    readable: list[bool] = []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        readable.append(link.exists())
        remove(path, missing_ok)

    remove = Path.unlink
    monkeypatch.setattr(Path, "unlink", unlink)
    found = gc(cache, litter=True)
    assert [path.exists() for path in loose] == [False, True, False]
    assert (link.read_bytes(), all(readable)) == (b"loose", True), "it is put back before any byte is given up"
    assert [item.reason for item in found.kept] == ["it was linked meanwhile"]


@pytest.mark.parametrize(("age", "goes"), [(PART_AGE + 60, True), (60, False)])
def test_parts_go_when_nobody_went_on_with_them_for_long(cache: Cache, age: float, goes: bool) -> None:
    path = part(cache, age)
    assert gc(cache).garbage == (), "parts are litter"
    found = gc(cache, litter=True)
    assert [item.kind for item in found.garbage] == ([Kind.PART] if goes else [])
    assert path.exists() != goes


def test_a_part_that_a_run_holds_stays(cache: Cache) -> None:
    path = part(cache, PART_AGE + 60)
    with plain.cache(cache.layout.cache_dir.parent) as other:
        claim = other.staging.claim(plain.file_of("c.safetensors", b"c").digest)
        assert claim is not None
        assert gc(cache, litter=True).garbage == ()
        assert path.exists()
        claim.release()


def test_what_hf_left_of_a_download_goes_too(cache: Cache) -> None:
    plain.put(cache)
    left = cache.layout.repo_dir(REPO) / "blobs" / f"{'ab' * 32}.incomplete"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    # Its ctime is of now: only to a clock that is far ahead has nobody touched it for long.
    found = collect(Rules(time.time() + PART_AGE + 7200, litter=True), cache, act=True)
    assert left.name in {item.path.name for item in found.garbage}
    assert not left.exists()


def test_contents_count_shared_bytes_once(cache: Cache) -> None:
    plain.put(cache)
    model = plain.model_of(repo=OTHER_REPO)
    cache.blobs.link(OTHER_REPO, ONE, [(file, cache.layout.blob(REPO, file.digest)) for file in model.wanted.files])
    cache.blobs.publish(model)
    digest = plain.file_of("c.safetensors", b"c").digest
    part(cache, 0)
    found = contents(cache)
    assert (found.size, found.parts) == (SIZE, cache.staging.held(digest))
    assert {repo.repo: (repo.size, repo.alone) for repo in found.repos} == {REPO: (SIZE, 0), OTHER_REPO: (SIZE, 0)}


def test_contents_say_what_a_revision_would_free_who_listed_it_and_whether_it_is_pinned(cache: Cache) -> None:
    plain.put(cache)
    plain.put(cache, {**FILES, "config.json": b"[]"}, commit=TWO, revision="dev")
    cache.pins.add([Target(REPO, "dev")])
    (repo,) = contents(cache).repos
    revisions = {revision.commit: revision for revision in repo.revisions}
    assert {commit: (r.size, r.alone, r.is_pinned) for commit, r in revisions.items()} == {
        ONE: (SIZE, 2, False),
        TWO: (SIZE, 2, True),
    }
    assert revisions[TWO].refs == ("dev",)
    assert revisions[ONE].trust is not None


def test_an_empty_cache_has_no_contents(cache: Cache) -> None:
    found = contents(cache)
    assert (found.repos, found.size, found.parts) == ((), 0, 0)
