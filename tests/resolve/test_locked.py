"""A model as a lock file says it: who is asked, who may contradict, and the lock of what was placed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.cache.records import Record
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import IntegrityError, NotFoundError, SourcesDownError, TrustError
from orchestrator.lists.lockfile import LockedFile, LockedModel
from orchestrator.lists.request import Item, PullRequest
from orchestrator.resolve.locked import lock, refuse_other_bytes
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import resolve
from orchestrator.system.signals import Stop
from tests import plain
from tests.plain import FILES, MIRROR, ONE, OTHER, PlainCatalog

DOWN = SourcesDownError("root does not answer")


def locked_of(content: dict[str, bytes] = FILES, **changes: Any) -> LockedModel:
    def file(path: str, data: bytes) -> LockedFile:
        sha256, listed = hashlib.sha256(data).hexdigest(), plain.file_of(path, data)
        if listed.is_lfs:
            return LockedFile.of_lfs(path, len(data), sha256)
        return LockedFile(path, len(data), listed.digest.hex, sha256)

    files = tuple(file(path, data) for path, data in content.items())
    return replace(LockedModel(plain.ref(), ONE, Trust(Level.ROOT, "https://root.test"), files), **changes)


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    with plain.cache(tmp_path) as made:
        yield made


@pytest.fixture
def heard() -> plain.Heard:
    return plain.Heard()


@pytest.fixture
def replay(cache: Cache, heard: plain.Heard) -> Callable[..., ResolvedModel]:
    def make(*catalogs: PlainCatalog, locked: LockedModel | None = None, **given: Any) -> ResolvedModel:
        item = Item(plain.ref(), locked=locked or locked_of())
        request = PullRequest((item,), lock_name="my.lock", **given)
        return resolve(Question(item, request, plain.sites(*catalogs), cache.records, heard))

    return make


Replay = Callable[..., ResolvedModel]


def other(**changes: bytes) -> dict[str, Any]:
    return {ONE: plain.tree_of(content={**FILES, **{path.replace("_", "."): data for path, data in changes.items()}})}


def test_the_locked_bytes_are_believed_once_the_root_did_not_contradict(replay: Replay) -> None:
    root, mirror = PlainCatalog(), PlainCatalog(MIRROR)
    model = replay(root, mirror)
    assert (model.trust, model.commit) == (Trust(Level.LOCK, "my.lock"), ONE)
    assert {file.path for file in model.wanted.files} == set(FILES)
    assert mirror.asked == []


def test_offline_asks_nobody(replay: Replay) -> None:
    root = PlainCatalog(error=DOWN)
    assert replay(root, offline=True).trust.level == Level.LOCK
    assert root.asked == []


@pytest.mark.parametrize(
    ("content", "line"),
    [({**FILES, "config.json": b"[]"}, "~ config.json"), ({**FILES, "evil.py": b""}, "+ evil.py")],
)
def test_a_root_that_contradicts_ends_it(replay: Replay, content: dict[str, bytes], line: str) -> None:
    with pytest.raises(TrustError, match="otherwise than the lock file") as caught:
        replay(PlainCatalog(trees={ONE: plain.tree_of(content=content)}))
    assert [detail.split("  ")[0] for detail in caught.value.details] == [line]


def test_files_beyond_a_lock_of_a_part_are_no_contradiction(replay: Replay) -> None:
    part = locked_of({"config.json": b"{}"}, include=("*.json",))
    model = replay(PlainCatalog(), locked=part)
    assert not model.is_whole
    assert [file.path for file in model.tree.files] == ["config.json"]


def test_a_root_that_is_down_surprises_nobody(replay: Replay, heard: plain.Heard) -> None:
    replay(PlainCatalog(error=DOWN))
    assert heard.codes == []


def test_a_root_that_has_it_no_more_is_told(replay: Replay, heard: plain.Heard) -> None:
    replay(PlainCatalog(error=NotFoundError("gone")))
    assert heard.codes == ["lock-unconfirmed"]


def test_without_the_root_one_mirror_that_agrees_is_enough(replay: Replay, heard: plain.Heard) -> None:
    liar = PlainCatalog(MIRROR, trees=other(config_json=b"[]"))
    with pytest.raises(TrustError, match="mirror lists"):
        replay(PlainCatalog(error=DOWN), liar)
    replay(PlainCatalog(error=DOWN), liar, PlainCatalog(OTHER))
    assert heard.codes == ["mirror-lied"]


def test_a_closed_repo_stays_with_the_root(replay: Replay, cache: Cache) -> None:
    assert replay(PlainCatalog(is_restricted=True)).is_restricted
    cache.records.save(plain.REPO, Record(plain.tree_of(), Trust(Level.ROOT, "r"), is_restricted=True))
    mirror = PlainCatalog(MIRROR)
    assert replay(PlainCatalog(error=DOWN), mirror).is_restricted
    assert mirror.asked == []


@pytest.mark.parametrize(
    ("catalogs", "is_closed"),
    [
        ([PlainCatalog()], False),
        ([PlainCatalog(is_restricted=True)], True),
        ([PlainCatalog(error=DOWN)], True),
        ([PlainCatalog(error=DOWN), PlainCatalog(MIRROR)], False),
        ([PlainCatalog(error=DOWN), PlainCatalog(MIRROR, is_restricted=True)], True),
        ([PlainCatalog(error=NotFoundError("gone")), PlainCatalog(MIRROR)], True),
    ],
)
def test_for_others_what_nobody_says_is_open_counts_as_closed(
    replay: Replay, catalogs: list[PlainCatalog], *, is_closed: bool
) -> None:
    assert replay(*catalogs, for_others=True).is_restricted is is_closed


def test_for_others_what_was_listed_here_counts(replay: Replay, cache: Cache) -> None:
    assert replay(offline=True, for_others=True).is_restricted
    cache.records.save(plain.REPO, Record(plain.tree_of(), Trust(Level.ROOT, "r")))
    assert not replay(offline=True, for_others=True).is_restricted


def placed(cache: Cache, content: dict[str, bytes]) -> ResolvedModel:
    """The model with these bytes as its blobs."""
    tree = plain.tree_of(content=content)
    for file in tree.files:
        blob = cache.layout.blob(plain.REPO, file.digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content[file.path])
    return ResolvedModel(plain.ref(), tree, tree, Trust(Level.ROOT, "https://root.test"))


def test_a_lock_has_both_digests_of_each_placed_file(cache: Cache) -> None:
    made = lock(placed(cache, FILES), Item(plain.ref()), cache.blobs, Stop())
    assert sorted(made.files, key=lambda file: file.path) == sorted(locked_of().files, key=lambda file: file.path)
    refuse_other_bytes(locked_of(), made)


def test_a_blob_that_rotted_is_not_locked(cache: Cache) -> None:
    model = placed(cache, FILES)
    config = next(file for file in model.tree.files if file.path == "config.json")
    cache.layout.blob(plain.REPO, config.digest).write_bytes(b"[]")
    with pytest.raises(IntegrityError, match="is not the placed file"):
        lock(model, Item(plain.ref()), cache.blobs, Stop())


def test_the_sha256_of_a_small_file_counts_although_no_listing_tells_it(cache: Cache) -> None:
    made = lock(placed(cache, FILES), Item(plain.ref()), cache.blobs, Stop())
    files = tuple(replace(f, sha256="ab" * 32) if f.path == "config.json" else f for f in locked_of().files)
    with pytest.raises(TrustError, match="it is not published") as caught:
        refuse_other_bytes(replace(locked_of(), files=files), made)
    assert caught.value.file == "config.json"


def test_the_version_is_that_of_the_lock_and_else_what_the_site_says(replay: Replay) -> None:
    locked = locked_of(version="1.2.0")
    assert replay(PlainCatalog(version="1.2.1")).version == "1.2.1"
    assert replay(PlainCatalog(version="1.2.1"), locked=locked).version == "1.2.0"
    assert replay(PlainCatalog(error=DOWN), locked=locked).version == "1.2.0"
    # As the nodes of a fleet do, which ask nobody.
    assert replay(PlainCatalog(), locked=locked, is_closed=False).version == "1.2.0"
