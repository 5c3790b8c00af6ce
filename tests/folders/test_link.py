"""A project folder of a model in the cache: which revision, what is refused, and what an update may remove."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.disk import space
from orchestrator.disk.copies import Mode
from orchestrator.errors import (
    CannotCreateError,
    IntegrityError,
    Interrupted,
    NoSpaceError,
    NotFoundError,
    UnsafeError,
    UsageError,
)
from orchestrator.folders.link import LinkReport, LinkRequest, link
from orchestrator.layouts.interface import Layout, ToolFolder
from orchestrator.layouts.known import TOOLS, layouts
from orchestrator.resolve import naming
from orchestrator.system.signals import Stop
from tests import plain
from tests.layouts.gguf import gguf
from tests.machine.conditions import needs_root
from tests.plain import FILES, ONE, REPO, THREE, TWO

LAYOUTS = layouts()
QUANTISED = ("m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf", "m-Q8_0.gguf", "mmproj-m-f16.gguf")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def make(cache: Cache, folder: Path, revision: str | None = None, layout: str = "flat", **given: Any) -> LinkReport:
    request = LinkRequest(Target(given.pop("repo", REPO), revision), ToolFolder(folder, ""), LAYOUTS[layout], **given)
    return link(request, cache, stop=Stop())


def content(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if not path.endswith("metadata.json")}


def test_a_layout_says_where_files_go(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    make(cache, tmp_path / "flat")
    assert content(tmp_path / "flat") == FILES
    report = make(cache, tmp_path / "project", layout="project")
    assert sorted(content(tmp_path / "project")) == [
        "checkpoints/a.safetensors", "checkpoints/sub/b.safetensors", "config/config.json",
    ]  # fmt: skip
    assert (report.commit, report.missing) == (ONE, ())
    said = json.loads((tmp_path / "project" / "metadata.json").read_text())
    assert said["commit"] == ONE


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.HARD, Mode.SYM])
def test_each_mode_makes_names_of_its_kind(cache: Cache, tmp_path: Path, mode: Mode) -> None:
    model = plain.put(cache)
    report = make(cache, tmp_path / "m", mode=mode)
    assert {file.mode for file in report.files} == {mode}
    made = tmp_path / "m" / "config.json"
    digest = next(file.digest for file in model.wanted.files if file.path == "config.json")
    assert made.is_symlink() == (mode is Mode.SYM)
    assert made.samefile(cache.layout.blob(REPO, digest)) == (mode is not Mode.COPY)


def test_a_second_time_nothing_is_made(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    make(cache, tmp_path / "m")
    assert not any(file.is_new for file in make(cache, tmp_path / "m").files)


@pytest.mark.parametrize("key", ["place", "size", "digest", "mode", "mtime_ns"])
def test_a_book_that_lacks_something_counts_as_absent(cache: Cache, tmp_path: Path, key: str) -> None:
    plain.put(cache)
    make(cache, tmp_path / "m", layout="project")
    book = tmp_path / "m" / "metadata.json"
    whole = json.loads(book.read_text())
    for entry in whole["files"]:
        del entry[key]
    book.write_text(json.dumps(whole))
    assert not any(file.is_new for file in make(cache, tmp_path / "m", layout="project").files)
    assert all(key in entry for entry in json.loads(book.read_text())["files"])


def test_an_update_removes_only_what_it_made(cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    plain.put(cache)
    make(cache, folder)
    (folder / "notes.txt").write_bytes(b"mine")
    (folder / "a.safetensors").write_bytes(b"edited")
    plain.put(cache, {"config.json": b"[]"}, commit=TWO)
    make(cache, folder)
    assert content(folder) == {"config.json": b"[]", "notes.txt": b"mine", "a.safetensors": b"edited"}


def test_what_is_the_users_stays_unless_forced(cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"mine")
    plain.put(cache)
    with pytest.raises(CannotCreateError, match="nothing was changed"):
        make(cache, folder)
    assert content(folder) == {"config.json": b"mine"}
    make(cache, folder, force=True)
    assert content(folder) == FILES


def test_the_revision_is_main_or_the_only_one_or_has_to_be_named(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache, commit=ONE, revision=ONE)
    assert make(cache, tmp_path / "only").commit == ONE
    plain.put(cache, commit=TWO, revision=TWO)
    with pytest.raises(UsageError, match="2 revisions, none of which is main") as caught:
        make(cache, tmp_path / "which")
    assert "@" in (caught.value.hint or "")
    assert make(cache, tmp_path / "named", TWO).commit == TWO
    plain.put(cache, commit=THREE)
    assert make(cache, tmp_path / "main").commit == THREE


def test_a_model_that_is_not_there_is_named(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    with pytest.raises(NotFoundError, match="is not in the cache") as caught:
        make(cache, tmp_path / "m", repo=RepoId(RepoType.MODEL, "org/other"))
    assert caught.value.hint == "glm-aria pull org/other"
    with pytest.raises(NotFoundError):
        make(cache, tmp_path / "m", "v2")


def test_a_part_of_a_model_says_what_is_missing(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    snapshot = cache.layout.snapshot(REPO, ONE)
    (snapshot / "a.safetensors").unlink()
    assert make(cache, tmp_path / "m").missing == ("a.safetensors",)


def test_one_quantisation_of_those_in_the_cache(cache: Cache, tmp_path: Path) -> None:
    files = {name: gguf({"split.no": number}) for number, name in enumerate(QUANTISED)} | {"README.md": b"read\n"}
    plain.put(cache, files)
    make(cache, tmp_path / "m", quantization="q8_0")
    assert set(content(tmp_path / "m")) == {"m-Q8_0.gguf", "mmproj-m-f16.gguf", "README.md"}
    make(cache, tmp_path / "m", quantization="Q4_K_M")
    shards = {"m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"}
    assert set(content(tmp_path / "m")) == {*shards, "mmproj-m-f16.gguf", "README.md"}
    # A name for Ollama says which model, where several are there.
    report = make(cache, tmp_path / "o", layout="ollama", quantization="Q8_0")
    assert report.commands == ("ollama run hf.co/org/m:Q8_0",)


def test_a_quantisation_that_is_not_in_the_cache_is_named(cache: Cache, tmp_path: Path) -> None:
    listed = {name: gguf({"split.no": number}) for number, name in enumerate(QUANTISED)}
    plain.put(cache, listed)
    snapshot = cache.layout.snapshot(REPO, ONE)
    (snapshot / "m-Q4_K_M-00002-of-00002.gguf").unlink()
    (snapshot / "m-Q8_0.gguf").unlink()
    assert make(cache, tmp_path / "m", quantization="Q4_K_M").missing == ("m-Q4_K_M-00002-of-00002.gguf",)
    with pytest.raises(NotFoundError, match="which has Q4_K_M of it") as caught:
        make(cache, tmp_path / "none", quantization="Q8_0")
    assert caught.value.hint == "glm-aria pull org/m:Q8_0"
    plain.put(cache, {"a-UD-Q2_K_XL.gguf": b"a", "b-UD-Q2_K_XL.gguf": b"b"}, commit=TWO)
    with pytest.raises(UsageError, match="2 models in Q2_K_XL"):
        make(cache, tmp_path / "none", TWO, quantization="Q2_K_XL")
    plain.put(cache, commit=THREE)
    with pytest.raises(NotFoundError, match="which has no GGUF file of it"):
        make(cache, tmp_path / "none", THREE, quantization="Q8_0")
    assert not (tmp_path / "none").exists()


def test_a_link_to_a_blob_that_is_gone_ends_it(cache: Cache, tmp_path: Path) -> None:
    model = plain.put(cache)
    cache.layout.blob(REPO, model.wanted.files[0].digest).unlink()
    with pytest.raises(NotFoundError, match="is not in the cache"):
        make(cache, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_rot_that_nobody_proved_goes_no_further(cache: Cache, tmp_path: Path) -> None:
    model = plain.put(cache)
    config = next(file for file in model.wanted.files if file.path == "config.json")
    cache.layout.blob(REPO, config.digest).write_bytes(b"[]")
    with pytest.raises(IntegrityError, match="is corrupt"):
        make(cache, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_portable_names_are_demanded_before_anything_is_made(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache, {"con.txt": b"x"})
    with pytest.raises(UnsafeError, match=r"con\.txt"):
        make(cache, tmp_path / "m", portable=True)
    assert make(cache, tmp_path / "m").files


def test_a_name_that_the_disk_cannot_hold_is_refused_before_anything_is_made(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "can_hold", lambda _folder, _names: False)
    plain.put(cache, {"con.txt": b"x"})
    with pytest.raises(UnsafeError, match="cannot hold that"):
        make(cache, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_stopped_link_ends_soon(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    stop = Stop()
    stop.set()
    with pytest.raises(Interrupted):
        link(LinkRequest(Target(REPO), ToolFolder(tmp_path / "m", ""), LAYOUTS["flat"]), cache, stop=stop)


STUDIO = "lm-studio"


def shared(cache: Cache, folder: Path) -> dict[str, bool]:
    """Of each file below, whether it is the cache's own."""
    blobs = {path.stat().st_ino for path in cache.layout.cache_dir.rglob("blobs/*")}
    found = (path for path in folder.rglob("*") if path.is_file() and ".glm-aria" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.stat().st_ino in blobs for path in found}


def test_a_program_shares_weights_and_gets_text_of_its_own(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    report = make(cache, tmp_path / "m", layout=STUDIO)
    by_mode = {file.piece.path: file.mode for file in report.files}
    assert by_mode["config.json"] in (Mode.COPY, Mode.REFLINK)
    shares = by_mode["a.safetensors"] is Mode.HARD
    assert shared(cache, tmp_path / "m") == {
        "org/m/a.safetensors": shares, "org/m/sub/b.safetensors": shares, "org/m/config.json": False,
    }  # fmt: skip
    assert shares or by_mode["a.safetensors"] is Mode.REFLINK
    assert not any(file.is_new for file in make(cache, tmp_path / "m", layout=STUDIO).files)


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.put(cache)
    monkeypatch.setattr(space, "space", lambda path: space.Space(0, None))
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(NoSpaceError):
        make(cache, folder, mode=Mode.COPY)
    assert list(folder.iterdir()) == []
    make(cache, folder, layout=STUDIO)  # what is shared takes none


@pytest.mark.skipif("not Path('/dev/shm').is_dir()", reason="this system has no second volume")
def test_another_volume_shares_nothing_and_has_to_have_room(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.put(cache)
    with TemporaryDirectory(dir="/dev/shm") as other:
        assert {file.mode for file in make(cache, Path(other, "m"), layout=STUDIO).files} == {Mode.COPY}
        monkeypatch.setattr(space, "space", lambda path: space.Space(0, None))
        make(cache, Path(other, "m"), layout=STUDIO)  # all is there
        with pytest.raises(NoSpaceError):
            make(cache, Path(other, "n"), layout=STUDIO)
        assert not Path(other, "n").exists()


def test_models_in_one_folder_leave_each_other_alone(cache: Cache, tmp_path: Path) -> None:
    folder, other = tmp_path / "m", RepoId(RepoType.MODEL, "org/other")
    plain.put(cache)
    plain.put(cache, repo=other)
    make(cache, folder, layout=STUDIO)
    make(cache, folder, layout=STUDIO, repo=other)
    plain.put(cache, {"config.json": b"[]"}, commit=TWO)
    make(cache, folder, layout=STUDIO)
    found = {path: data for path, data in content(folder).items() if ".glm-aria" not in path}
    assert found == {"org/m/config.json": b"[]", **{f"org/other/{path}": data for path, data in FILES.items()}}


def test_a_dry_run_says_what_would_be_and_writes_nothing(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    report = make(cache, tmp_path / "m", layout=STUDIO, dry_run=True)
    assert [(file.mode, file.is_new) for file in report.files] == [(None, True)] * 3
    assert not (tmp_path / "m").exists()
    (tmp_path / "m" / "org" / "m").mkdir(parents=True)
    (tmp_path / "m" / "org" / "m" / "config.json").write_bytes(b"mine")
    with pytest.raises(CannotCreateError):
        make(cache, tmp_path / "m", layout=STUDIO, dry_run=True)


def test_a_program_that_reads_models_gets_no_datasets(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model"):
        make(cache, tmp_path / "m", layout=STUDIO, repo=RepoId(RepoType.DATASET, "org/d"))


BIG = {
    "config.json": b"{}",
    "loras/m-Q4_K_M.gguf": gguf(tensors={"w": (1000, 1000)}),
    "loras/m.safetensors": b"s" * 4_000_000,
}


@pytest.mark.parametrize("layout", TOOLS, ids=lambda layout: layout.name)
def test_a_model_in_a_programs_folder_takes_no_second_copy(cache: Cache, tmp_path: Path, layout: Layout) -> None:
    plain.put(cache, BIG)
    report = make(cache, tmp_path / "m", layout=layout.name)
    weights = {file.mode for file in report.files if file.piece.is_lfs}
    assert weights in ({Mode.HARD}, {Mode.REFLINK})
    found = {(path.stat().st_dev, path.stat().st_ino): path.stat() for path in tmp_path.rglob("*") if path.is_file()}
    shared = 0 if weights == {Mode.HARD} else sum(file.piece.size for file in report.files)
    used = sum(stat.st_blocks * 512 for stat in found.values()) - shared
    assert used <= 1.02 * sum(map(len, BIG.values()))
    assert not any(file.is_new for file in make(cache, tmp_path / "m", layout=layout.name).files)


def test_a_program_that_reads_the_cache_itself_needs_nothing(cache: Cache) -> None:
    plain.put(cache, BIG)
    report = make(cache, cache.layout.cache_dir, layout="llama.cpp")
    assert report.files == ()
    assert "reads this cache itself" in report.folder.because
    assert not (cache.layout.cache_dir / ".glm-aria").exists()


def test_a_file_of_another_model_is_not_replaced(cache: Cache, tmp_path: Path) -> None:
    other = RepoId(RepoType.MODEL, "org/other")
    plain.put(cache, {"loras/style.safetensors": b"one"})
    plain.put(cache, {"loras/style.safetensors": b"two"}, repo=other)
    make(cache, tmp_path / "m", layout="comfyui")
    with pytest.raises(CannotCreateError, match="is a file of org/m"):
        make(cache, tmp_path / "m", layout="comfyui", repo=other)
    assert (tmp_path / "m" / "loras" / "style.safetensors").read_bytes() == b"one"


def test_a_file_that_two_models_have_stays_while_one_of_them_has_it(cache: Cache, tmp_path: Path) -> None:
    other, style = RepoId(RepoType.MODEL, "org/other"), {"loras/style.safetensors": b"one"}
    plain.put(cache, style)
    plain.put(cache, style, repo=other)
    make(cache, tmp_path / "m", layout="comfyui")
    make(cache, tmp_path / "m", layout="comfyui", repo=other)
    plain.put(cache, {"loras/new.safetensors": b"two"}, commit=TWO)
    make(cache, tmp_path / "m", layout="comfyui")
    assert sorted(path.name for path in (tmp_path / "m" / "loras").iterdir()) == [
        "new.safetensors",
        "style.safetensors",
    ]


def test_what_a_program_wrote_beside_the_files_is_its_own(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache, BIG)
    ref = tmp_path / "m" / "models--org--m" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_text(TWO)
    with pytest.raises(CannotCreateError, match="refs/main"):
        make(cache, tmp_path / "m", layout="llama.cpp")
    assert ref.read_text() == TWO
    make(cache, tmp_path / "m", layout="llama.cpp", force=True)
    assert ref.read_text() == ONE


def test_what_a_program_clears_by_itself_is_left_to_it(cache: Cache, tmp_path: Path) -> None:
    """A model that the user made in Ollama may name the blob of the older version."""
    folder = tmp_path / "m"

    def names(content: dict[str, bytes], commit: str) -> tuple[list[str], int]:
        plain.put(cache, content, commit=commit)
        make(cache, folder, layout="ollama")
        found = [path for path in folder.rglob("*") if path.is_file() and ".glm-aria" not in path.parts]
        return sorted(path.name for path in found if "blobs" not in path.parts), len(found)

    assert names({"m-Q4_0.gguf": gguf({"version": 1})}, ONE) == (["Q4_0"], 3)
    assert names({"m-Q4_0.gguf": gguf({"version": 2})}, TWO) == (["Q4_0"], 5)
    assert names({"m-Q8_0.gguf": gguf({"version": 2})}, THREE) == (["Q8_0"], 6)


@pytest.mark.parametrize("planted", ["org", "org/m"])
def test_no_link_of_others_leads_out_of_the_folder_of_a_program(cache: Cache, tmp_path: Path, planted: str) -> None:
    plain.put(cache)
    elsewhere, link_there = tmp_path / "elsewhere", tmp_path / "models" / planted
    elsewhere.mkdir()
    link_there.parent.mkdir(parents=True)
    link_there.symlink_to(elsewhere)
    for dry_run in (True, False):
        with pytest.raises(UnsafeError, match="is a symlink"):
            make(cache, tmp_path / "models", layout="lm-studio", dry_run=dry_run)
    assert list(elsewhere.iterdir()) == []


def _book(folder: Path, entry: dict[str, object], mode: int = 0o644) -> Path:
    book = folder / ".glm-aria" / "metadata.json"
    book.parent.mkdir(parents=True, exist_ok=True)
    book.write_text(json.dumps({"schema": "glm-aria-folder/1", "repo": "org/m", "files": [entry]}))
    book.chmod(mode)
    return book


def _entry(folder: Path, place: str) -> dict[str, object]:
    found = (folder / place).stat()
    digest = f"sha256:{'0' * 64}"
    return {"path": place, "place": place, "size": found.st_size, "digest": digest, "mode": "copy",
            "mtime_ns": found.st_mtime_ns}  # fmt: skip


@pytest.mark.parametrize(("mode", "is_there"), [(0o666, True), (0o644, False)])
def test_a_book_that_others_may_have_written_says_of_nothing_that_it_may_go(
    cache: Cache, tmp_path: Path, mode: int, is_there: bool
) -> None:
    plain.put(cache)
    mine = tmp_path / "m" / "mine.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    _book(tmp_path / "m", _entry(tmp_path / "m", mine.name), mode)
    make(cache, tmp_path / "m")
    assert mine.exists() is is_there


def test_nor_does_it_say_of_a_file_that_it_may_be_replaced(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    mine = tmp_path / "m" / "config.json"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    _book(tmp_path / "m", _entry(tmp_path / "m", mine.name), 0o666)
    with pytest.raises(CannotCreateError, match="nothing was changed"):
        make(cache, tmp_path / "m")
    assert mine.read_bytes() == b"mine"


def test_nobody_else_may_write_a_book_whatever_the_umask(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    before = os.umask(0)
    try:
        make(cache, tmp_path / "m")
    finally:
        os.umask(before)
    assert (tmp_path / "m" / ".glm-aria" / "metadata.json").stat().st_mode & 0o777 == 0o644


def test_new_files_are_made_where_nobody_can_exchange_them(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    aside = tmp_path / "m" / ".glm-aria"
    aside.mkdir(parents=True)
    aside.chmod(0o777)
    make(cache, tmp_path / "m")
    assert aside.stat().st_mode & 0o777 == 0o755
    # Where others may do all of that in the whole folder, nothing is won.
    for folder in (tmp_path / "m", aside):
        folder.chmod(0o777)
    make(cache, tmp_path / "m")
    assert aside.stat().st_mode & 0o777 == 0o777


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_nor_where_another_user_made_the_folder_for_them(cache: Cache, tmp_path: Path, mode: int) -> None:
    plain.put(cache)
    aside = tmp_path / "m" / ".glm-aria"
    aside.mkdir(parents=True)
    os.chown(aside, 4242, 4242)
    (tmp_path / "m").chmod(mode)
    with pytest.raises(UnsafeError, match="belongs to another user"):
        make(cache, tmp_path / "m")
    assert content(tmp_path / "m") == {}
