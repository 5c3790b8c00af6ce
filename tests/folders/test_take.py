"""Files of a folder become part of the cache by their digest, whatever their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.core.trust import Policy
from orchestrator.disk.copies import Mode
from orchestrator.errors import CannotCreateError, NotFoundError, SourcesDownError, TrustError, UsageError
from orchestrator.folders.link import LinkRequest, link
from orchestrator.folders.take import ImportReport, ImportRequest, ImportState, take
from orchestrator.layouts.interface import Layout, ToolFolder
from orchestrator.layouts.lm_studio import LmStudio
from orchestrator.layouts.modelscope import ModelScope, OlderModelScope
from orchestrator.layouts.ollama import Ollama
from orchestrator.lists.request import Item, PullRequest
from orchestrator.resolve.resolve import remember
from orchestrator.system.signals import Stop
from tests import plain
from tests.deep import deep
from tests.layouts.gguf import gguf
from tests.modes import modes_hold
from tests.plain import FILES, MIRROR, ONE, REPO, Heard, PlainCatalog

OTHER_REPO = RepoId(RepoType.MODEL, "org/other")
BIG = FILES["a.safetensors"]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Two of the model's files under other names, and strangers of the same and of another size."""
    folder = tmp_path / "stick"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "big.sft").write_bytes(BIG)
    (folder / "c.txt").write_bytes(FILES["config.json"])
    (folder / "twin").write_bytes(b"[]")
    (folder / "other.bin").write_bytes(b"y" * 12345)
    return folder


def bring(cache: Cache, folder: Path, *catalogs: PlainCatalog, stop: Stop | None = None, **given: Any) -> ImportReport:
    items = given.pop("items", (Item(plain.ref()),))
    pull = PullRequest(items, policy=Policy(given.pop("policy", "agree")))
    sites = plain.sites(*(catalogs or (PlainCatalog(),)))
    return take(ImportRequest(ToolFolder(folder, ""), pull, **given), sites, cache, stop=stop or Stop(), emit=Heard())


def states(report: ImportReport) -> dict[str, ImportState]:
    return {file.path.name: file.state for file in report.files}


def test_files_are_known_by_their_digest(cache: Cache, stick: Path) -> None:
    report = bring(cache, stick)
    assert states(report) == {
        "big.sft": ImportState.IMPORTED,
        "c.txt": ImportState.IMPORTED,
        "twin": ImportState.UNMATCHED,
        "other.bin": ImportState.UNMATCHED,
    }
    reasons = {file.path.name: file.reason for file in report.files}
    assert "this size" in str(reasons["other.bin"])
    assert "other bytes" in str(reasons["twin"])
    assert (cache.layout.snapshot(REPO, ONE) / "a.safetensors").read_bytes() == BIG
    (left,) = report.models
    assert (left.files, left.bytes) == (1, 2000)


def test_a_part_of_a_model_is_not_published(cache: Cache, stick: Path) -> None:
    bring(cache, stick)
    assert not cache.layout.ref_file(REPO, "main").exists()
    assert cache.records.load(REPO, ONE) is None


def test_a_whole_model_is_published_and_recorded(cache: Cache, stick: Path) -> None:
    (stick / "b").write_bytes(FILES["sub/b.safetensors"])
    report = bring(cache, stick)
    assert report.models[0].files == 0
    assert cache.layout.ref_file(REPO, "main").read_text() == ONE
    assert cache.records.load(REPO, ONE) is not None
    assert cache.blobs.is_complete(plain.model_of())


def test_a_second_time_everything_is_present(cache: Cache, stick: Path) -> None:
    bring(cache, stick)
    assert states(bring(cache, stick))["big.sft"] is ImportState.PRESENT


def test_the_folder_stays_as_it_is_and_nothing_stays_in_the_stage(cache: Cache, stick: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in stick.rglob("*")}
    bring(cache, stick)
    assert {path: path.stat().st_mtime_ns for path in stick.rglob("*")} == before
    assert list(cache.staging.folder.iterdir()) == []


def test_a_dry_run_writes_nothing(cache: Cache, stick: Path) -> None:
    report = bring(cache, stick, dry_run=True)
    assert states(report)["big.sft"] is ImportState.WOULD
    assert report.is_dry
    assert not cache.layout.repo_dir(REPO).exists()


def test_a_hard_import_shares_the_inode(cache: Cache, stick: Path) -> None:
    bring(cache, stick, hard=True)
    digest = plain.file_of("a.safetensors", BIG).digest
    assert cache.layout.blob(REPO, digest).samefile(stick / "deep" / "big.sft")


def test_but_not_with_a_file_that_others_may_write(cache: Cache, stick: Path) -> None:
    source = stick / "deep" / "big.sft"
    source.chmod(0o666)
    report = bring(cache, stick, hard=True)
    assert {file.mode for file in report.files if file.path == source} <= {Mode.COPY, Mode.REFLINK}
    blob = cache.layout.blob(REPO, plain.file_of("a.safetensors", BIG).digest)
    source.write_bytes(b"other bytes")
    assert blob.read_bytes() == BIG


def test_a_file_goes_to_every_model_that_was_listed(cache: Cache, stick: Path) -> None:
    for repo in (REPO, OTHER_REPO):
        remember(plain.model_of(repo=repo), cache.records, plain.sites(PlainCatalog()))
    root = PlainCatalog()
    report = bring(cache, stick, root, items=())
    assert root.asked == [], "what is known needs no asking"
    big = next(file for file in report.files if file.path.name == "big.sft")
    assert {(ref.repo, path) for ref, path in big.wanted} == {(repo, "a.safetensors") for repo in (REPO, OTHER_REPO)}
    digest = plain.file_of("a.safetensors", BIG).digest
    assert cache.layout.blob(REPO, digest).samefile(cache.layout.blob(OTHER_REPO, digest))


def test_without_a_model_something_must_have_been_listed(cache: Cache, stick: Path) -> None:
    with pytest.raises(NotFoundError, match="no model was ever listed") as caught:
        bring(cache, stick, items=())
    assert "--model" in (caught.value.hint or "")


def test_the_folder_has_to_be_one(cache: Cache, stick: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a folder"):
        bring(cache, stick / "c.txt")


def test_what_may_not_be_read_fails_alone_and_is_told(cache: Cache, stick: Path) -> None:
    (stick / "loop").symlink_to("loop")
    (stick / "none").symlink_to("nothing")
    closed = (stick / "deep", stick / "twin")
    for path in closed:
        path.chmod(0)
    with modes_hold():
        report = bring(cache, stick)
        inside = bring(cache, stick / "deep")
    for path in closed:
        path.chmod(0o700)
    assert states(report) == {
        "deep": ImportState.FAILED,
        "twin": ImportState.FAILED,
        "c.txt": ImportState.IMPORTED,
        "other.bin": ImportState.UNMATCHED,
    }
    assert {type(file.error) for file in report.files if file.error} == {CannotCreateError}
    assert states(inside) == {"deep": ImportState.FAILED}


def test_the_cache_itself_holds_nothing_to_import(cache: Cache, stick: Path) -> None:
    bring(cache, stick)
    own = cache.layout.cache_dir
    for folder in (own, cache.layout.snapshot(REPO, ONE)):
        with pytest.raises(UsageError, match="is the cache itself") as caught:
            bring(cache, folder)
        assert "verify" in (caught.value.hint or "")
    (own.parent / "beside.bin").write_bytes(BIG)
    paths = {file.path for file in bring(cache, own.parent).files}
    assert own.parent / "beside.bin" in paths
    assert not any(path.is_relative_to(own) for path in paths)


def test_an_import_believes_whom_a_pull_believes(cache: Cache, stick: Path) -> None:
    with pytest.raises(TrustError):
        bring(cache, stick, PlainCatalog(error=SourcesDownError("down")), PlainCatalog(MIRROR))


def test_junk_is_not_told_and_a_hard_linked_twin_is_read_once(cache: Cache, stick: Path) -> None:
    (stick / ".DS_Store").write_bytes(b"z" * 77)
    os.link(stick / "deep" / "big.sft", stick / "deep" / "again.sft")
    assert sorted(states(bring(cache, stick))) == ["again.sft", "c.txt", "other.bin", "twin"]


def test_a_file_that_another_run_fetches_just_now_fails_alone(cache: Cache, stick: Path) -> None:
    with plain.cache(cache.layout.cache_dir.parent) as other:
        claim = other.staging.claim(plain.file_of("a.safetensors", BIG).digest)
        assert claim is not None
        report = bring(cache, stick)
        claim.release()
    assert states(report)["big.sft"] is ImportState.FAILED
    assert states(report)["c.txt"] is ImportState.IMPORTED


def test_an_interrupted_import_says_so_and_keeps_what_came(cache: Cache, stick: Path) -> None:
    stop = Stop()
    stop.set()
    report = bring(cache, stick, stop=stop)
    assert report.interrupted == stop.signal_number
    assert report.models[0].files == len(FILES)


def names_in(tmp_path: Path, *places: str) -> Path:
    folder = tmp_path / "models"
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(BIG)
    return folder


def test_names_in_a_programs_folder_say_which_listings_to_ask_for(cache: Cache, tmp_path: Path) -> None:
    folder = names_in(tmp_path, "org/m/other-name.safetensors", ".glm-aria/scratch")
    report = bring(cache, folder, items=(), layout=LmStudio())
    assert states(report) == {"other-name.safetensors": ImportState.IMPORTED}
    assert (cache.layout.snapshot(REPO, ONE) / "a.safetensors").read_bytes() == BIG
    assert [(str(left.ref), left.files) for left in report.models] == [("org/m@main", 2)]


def test_a_name_that_is_no_repo_is_told_and_believed_in_nothing(cache: Cache, tmp_path: Path) -> None:
    folder, heard = names_in(tmp_path, "org/m/a.safetensors"), Heard()
    request = ImportRequest(ToolFolder(folder, ""), PullRequest(()), LmStudio())
    sites = plain.sites(PlainCatalog(error=NotFoundError("no such repo")))
    with pytest.raises(NotFoundError, match="unknown"):
        take(request, sites, cache, stop=Stop(), emit=heard)
    assert heard.codes == ["unknown-repo"]
    plain.put(cache, {"config.json": b"{}"}, repo=OTHER_REPO)
    assert states(take(request, sites, cache, stop=Stop(), emit=heard)) == {"a.safetensors": ImportState.UNMATCHED}


def test_without_a_server_only_what_is_remembered_of_a_folders_names_counts(cache: Cache, tmp_path: Path) -> None:
    folder = names_in(tmp_path, "org/m/a.safetensors")
    request = ImportRequest(ToolFolder(folder, ""), PullRequest((), offline=True), LmStudio())
    catalog = PlainCatalog()
    with pytest.raises(NotFoundError):
        take(request, plain.sites(catalog), cache, stop=Stop(), emit=Heard())
    assert catalog.asked == []
    remember(plain.model_of(FILES), cache.records, plain.sites(catalog))
    report = take(request, plain.sites(catalog), cache, stop=Stop(), emit=Heard())
    assert states(report) == {"a.safetensors": ImportState.IMPORTED}


@pytest.mark.parametrize("layout", [Ollama(), ModelScope(), OlderModelScope()], ids=lambda layout: layout.name)
def test_what_was_linked_for_a_program_comes_back_by_its_digest_alone(tmp_path: Path, layout: Layout) -> None:
    content, folder = {"m-Q4_K_M.gguf": gguf(tensors={"w": (100, 100)})}, tmp_path / "tool"
    with plain.cache(tmp_path / "one") as cache:
        plain.put(cache, content)
        link(LinkRequest(Target(REPO), ToolFolder(folder, ""), layout, Mode.COPY), cache, stop=Stop())
    catalog = PlainCatalog(trees={ONE: plain.tree_of(content=content)})
    with plain.cache(tmp_path / "two") as cache:
        assert ImportState.IMPORTED in states(bring(cache, folder, catalog, items=(), layout=layout)).values()
        assert cache.blobs.is_complete(plain.model_of(content))
    (weights,) = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 10_000)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with plain.cache(tmp_path / "three") as cache:
        found = states(bring(cache, folder, catalog, items=(), layout=layout))
        assert found[weights.name] is ImportState.UNMATCHED
        assert ImportState.IMPORTED not in found.values()


def test_a_folder_deeper_than_the_stack_is_no_trouble(cache: Cache, stick: Path) -> None:
    with deep(stick) as last:
        (last / "last.bin").write_bytes(FILES["sub/b.safetensors"])
        report = bring(cache, stick)
    assert states(report)["last.bin"] is ImportState.IMPORTED
