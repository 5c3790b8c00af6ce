"""The same calls of huggingface_hub's functions and of ours: the same paths, files and errors."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub as theirs
import pytest

import orchestrator as ours
from tests.api.conftest import FILES, TOKEN
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Place:
    """Where a library works in a test: its own folder, and the hub."""

    library: ModuleType
    folder: Path
    hub: LoopbackHub
    commit: str
    first: str

    @property
    def words(self) -> dict[str, Any]:
        return {"cache_dir": self.folder / "cache", "endpoint": self.hub.url}

    def snapshot(self, repo: str = "org/m", **words: Any) -> Any:
        return self.library.snapshot_download(repo, **{**self.words, **words})

    def file(self, name: str, repo: str = "org/m", **words: Any) -> Any:
        return self.library.hf_hub_download(repo, name, **{**self.words, **words})


def after(*calls: Callable[[Place], Any]) -> Callable[[Place], Any]:
    """Some calls, and the result of the last."""
    return lambda place: [call(place) for call in calls][-1]


def damaged(place: Place) -> None:
    (Path(place.snapshot()) / "config.json").unlink()


def whole(place: Place) -> str:
    return str(place.snapshot())


CALLS: dict[str, Callable[[Place], Any]] = {
    "all": whole,
    "again": after(whole, whole),
    "a tag": lambda at: at.snapshot(revision="v1"),
    "a commit": lambda at: at.snapshot(revision=at.first),
    "a revision that is resolved": lambda at: at.snapshot(revision=theirs.ResolvedRevision(at.commit, "main")),
    "a dataset": lambda at: at.snapshot("org/d", repo_type="dataset"),
    "a space": lambda at: at.snapshot("org/s", repo_type="space"),
    "allowed": lambda at: at.snapshot(allow_patterns="*.json"),
    "allowed in a list": lambda at: at.snapshot(allow_patterns=["config.json", "sub/"]),
    "ignored": lambda at: at.snapshot(ignore_patterns=["*.safetensors", "sub/*"]),
    "nothing matches": lambda at: at.snapshot(allow_patterns="*.nothing"),
    "into a folder": lambda at: at.snapshot(local_dir=at.folder / "plain"),
    "a part into a folder": lambda at: at.snapshot(local_dir=at.folder / "plain", allow_patterns="sub/*"),
    "again by force": after(whole, lambda at: at.snapshot(force_download=True)),
    "only what is here": after(whole, lambda at: at.snapshot(local_files_only=True)),
    "only a commit that is here": after(whole, lambda at: at.snapshot(revision=at.commit, local_files_only=True)),
    "only a tag that is here": after(
        lambda at: at.snapshot(revision="v1"), lambda at: at.snapshot(revision="v1", local_files_only=True)
    ),
    "only a folder that is here": after(
        lambda at: at.snapshot(local_dir=at.folder / "plain"),
        lambda at: at.snapshot(local_dir=at.folder / "plain", local_files_only=True),
    ),
    "the hub went away": after(whole, lambda at: at.snapshot(endpoint=NOBODY)),
    "the hub went away, and a file is missing": after(damaged, lambda at: at.snapshot(local_files_only=True)),
    "a file is missing": after(damaged, whole),
    "a private repo": lambda at: at.snapshot("org/private", token=TOKEN),
    "a private repo that is here, without a token": after(
        lambda at: at.snapshot("org/private", token=TOKEN), lambda at: at.snapshot("org/private", token=False)
    ),
    "a gated repo": lambda at: at.snapshot("org/gated", token=TOKEN),
    "one file": lambda at: at.file("config.json"),
    "one file twice": after(lambda at: at.file("config.json"), lambda at: at.file("config.json")),
    "one big file": lambda at: at.file("model.safetensors"),
    "one file of a folder": lambda at: at.file("a.txt", subfolder="sub/deep"),
    "an empty subfolder": lambda at: at.file("config.json", subfolder=""),
    "one file of a commit": lambda at: at.file("gone.txt", revision=at.first),
    "one file of a commit, again": after(
        lambda at: at.file("gone.txt", revision=at.first),
        lambda at: at.file("gone.txt", revision=at.first, endpoint=NOBODY),
    ),
    "one file of a dataset": lambda at: at.file("data/train.jsonl", "org/d", repo_type="dataset"),
    "one file into a folder": lambda at: at.file("sub/deep/a.txt", local_dir=at.folder / "plain"),
    "one file by force": after(whole, lambda at: at.file("config.json", force_download=True)),
    "one file that is here": after(whole, lambda at: at.file("config.json", local_files_only=True)),
    "one file, and the hub went away": after(whole, lambda at: at.file("config.json", endpoint=NOBODY)),
    "one file into a folder, again": after(
        lambda at: at.file("sub/b.bin", local_dir=at.folder / "plain"),
        lambda at: at.file("sub/b.bin", local_dir=at.folder / "plain"),
    ),
    "one file into a folder, from the cache": after(
        whole, lambda at: at.file("config.json", local_dir=at.folder / "plain")
    ),
    "one file of a folder that is here": after(
        lambda at: at.file("config.json", local_dir=at.folder / "plain"),
        lambda at: at.file("config.json", local_dir=at.folder / "plain", local_files_only=True),
    ),
    "a folder that is here, and the hub went away": after(
        lambda at: at.snapshot(local_dir=at.folder / "plain"),
        lambda at: at.snapshot(local_dir=at.folder / "plain", endpoint=NOBODY),
    ),
    "a renamed repo": lambda at: at.file("data/train.jsonl", "org/old", repo_type="dataset"),
    "a pull request": lambda at: at.file("b.txt", "org/s", repo_type="space", revision="refs/pr/1"),
    "a file with an awful name": lambda at: at.file("awful/[x] ü?.txt", "org/s", repo_type="space"),
    # -- errors
    "a file that was removed": after(damaged, lambda at: at.file("config.json", local_files_only=True)),
    "no such repo": lambda at: at.snapshot("org/none"),
    "no such repo, with a token": lambda at: at.snapshot("org/none", token=TOKEN),
    "a private repo without a token": lambda at: at.snapshot("org/private", token=False),
    "a bad token": lambda at: at.snapshot("org/private", token="hf_wrong"),
    "no such revision": lambda at: at.snapshot(revision="nope"),
    "no such commit": lambda at: at.snapshot(revision="0" * 40),
    "a gated repo without a token": lambda at: at.snapshot("org/gated"),
    "a gated file without a token": lambda at: at.file("a.txt", "org/gated"),
    "no such file": lambda at: at.file("nope.txt"),
    "no such file here": after(whole, lambda at: at.file("nope.txt", local_files_only=True)),
    "no such repo for a file": lambda at: at.file("a.txt", "org/none"),
    "no such revision for a file": lambda at: at.file("config.json", revision="nope"),
    "nothing is here": lambda at: at.snapshot(local_files_only=True),
    "nothing is in the folder": after(
        whole, lambda at: at.snapshot(local_dir=at.folder / "plain", local_files_only=True)
    ),
    "no file is here": lambda at: at.file("config.json", local_files_only=True),
    "no hub": lambda at: at.snapshot(endpoint=NOBODY),
    "a name with two dashes": lambda at: at.snapshot("org--m/x"),
    "a name with two slashes": lambda at: at.file("config.json", "datasets/org/m"),
    "a path that leads out": after(whole, lambda at: at.file("../config.json", local_files_only=True)),
    "a path from the top": after(whole, lambda at: at.file("/etc/passwd", revision=at.commit, local_files_only=True)),
    "no type of a repo": lambda at: at.snapshot(repo_type="models"),
    "no token where one is asked for": lambda at: at.snapshot(token=True),
    "force of what may not be asked": lambda at: at.file("config.json", force_download=True, local_files_only=True),
    "a dry run that may not ask": lambda at: at.snapshot(dry_run=True, local_files_only=True),
    "a dry run of no repo": lambda at: at.snapshot("org/none", dry_run=True),
    "a dry run of no revision": lambda at: at.snapshot(revision="nope", dry_run=True),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_as_with_huggingface_hub(name: str, hub: LoopbackHub, model: Repo, tmp_path: Path) -> None:
    first = model.refs["refs/tags/v1"]
    ends = [
        _end(CALLS[name], Place(library, tmp_path / library.__name__, hub, model.head, first))
        for library in (theirs, ours)
    ]
    if isinstance(ends[0], Exception):
        assert isinstance(ends[1], type(ends[0])), repr(ends[1])
    else:
        assert ends[1] == ends[0]


def _end(call: Callable[[Place], Any], place: Place) -> Any:
    """The error; or the path of the result below the folder, and what a reader finds there."""
    try:
        path = Path(call(place))
    except Exception as error:
        return error
    found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    digests = {
        one.relative_to(path).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in found
        if ".cache" not in one.relative_to(path).parts
    }
    return path.relative_to(place.folder.resolve()), digests


@pytest.mark.parametrize("name", ["snapshot_download", "hf_hub_download"])
def test_the_parameters_are_those_of_huggingface_hub(name: str) -> None:
    wanted = inspect.signature(getattr(theirs, name)).parameters
    given = inspect.signature(getattr(ours, name)).parameters
    assert list(given) == [*wanted, "progress", "stop"] or set(given) == {*wanted, "progress", "stop"}
    assert {name: one.kind for name, one in wanted.items()}.items() <= {n: one.kind for n, one in given.items()}.items()


def test_a_dry_run_says_the_same(hub: LoopbackHub, model: Repo, tmp_path: Path) -> None:
    ways: list[list[Callable[[Place], Any]]] = [[], [lambda at: at.file("config.json")]]
    for prepare in ways:
        said = []
        for library in (theirs, ours):
            at = Place(library, tmp_path / f"{len(prepare)}" / library.__name__, hub, model.head, "")
            for call in prepare:
                call(at)
            files = [*at.snapshot(dry_run=True), at.file("config.json", dry_run=True)]
            assert {type(file) for file in files} == {theirs.DryRunFileInfo}
            told = [{**vars(file), "local_path": Path(file.local_path).relative_to(at.folder)} for file in files]
            said.append(sorted(told, key=lambda file: file["filename"]))
        assert said[0] == said[1]
        assert {file["filename"] for file in said[1]} == set(FILES)
