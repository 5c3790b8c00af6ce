"""A project folder of a model in the cache: which revision, what is refused, and what an update may remove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import templating
from orchestrator.cache.cache import Cache
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.disk.copies import Mode
from orchestrator.errors import CannotCreateError, IntegrityError, Interrupted, NotFoundError, UnsafeError, UsageError
from orchestrator.folders.layouts import parse_layouts
from orchestrator.folders.link import LinkReport, LinkRequest, link
from orchestrator.resolve import naming
from orchestrator.system.signals import Stop
from tests import plain
from tests.plain import FILES, ONE, REPO, THREE, TWO

LAYOUTS = parse_layouts(templating.read("layouts.toml"))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def make(cache: Cache, folder: Path, revision: str | None = None, layout: str = "flat", **given: Any) -> LinkReport:
    request = LinkRequest(Target(given.pop("repo", REPO), revision), folder, LAYOUTS[layout], **given)
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
        link(LinkRequest(Target(REPO), tmp_path / "m", LAYOUTS["flat"]), cache, stop=stop)
