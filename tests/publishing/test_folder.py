"""Files of a folder that is pushed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.errors import NotFoundError, UnsafeError, UsageError
from orchestrator.publishing.folder import read_folder
from tests.publishing.conftest import write

COMMIT = "c" * 40


def paths(folder: Path, **globs: tuple[str, ...]) -> list[str]:
    return [file.path for file in read_folder(folder, **globs).files]


def test_all_files_by_path(folder: Path) -> None:
    assert paths(folder) == ["README.md", "config.json", "empty.txt", "model.safetensors", "tokenizer/vocab.txt"]
    assert [file.size for file in read_folder(folder).files if file.path == "empty.txt"] == [0]


def test_globs_choose_as_in_a_pull(folder: Path) -> None:
    assert paths(folder, include=("*.json", "tokenizer/")) == ["config.json", "tokenizer/vocab.txt"]
    assert paths(folder, exclude=("*.safetensors", "*.txt")) == ["README.md", "config.json"]
    with pytest.raises(NotFoundError, match="no file that is wanted"):
        read_folder(folder, ("*.gguf",))


def test_folders_that_programs_keep_for_themselves_are_left_out(folder: Path) -> None:
    before = paths(folder)
    write(
        folder,
        {
            ".git/config": b"x",
            ".cache/huggingface/x.lock": b"",
            "__pycache__/a.pyc": b"",
            "a/.ipynb_checkpoints/x": b"",
        },
    )
    assert paths(folder) == before


def test_a_snapshot_of_the_cache_is_read_through_its_links_and_knows_its_commit(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--name"
    write(repo, {"blobs/abc": b"bytes", f"snapshots/{COMMIT}/real.txt": b"own"})
    (repo / "snapshots" / COMMIT / "model.bin").symlink_to("../../blobs/abc")
    found = read_folder(repo / "snapshots" / COMMIT)
    assert [(file.path, file.size) for file in found.files] == [("model.bin", 5), ("real.txt", 3)]
    assert found.origin is not None
    assert (found.origin.repo, found.origin.commit) == (RepoId(RepoType.MODEL, "org/name"), COMMIT)


@pytest.mark.parametrize("which", ["models--org--name", "models--org--name/snapshots", "models--org--name/blobs", "."])
def test_a_folder_of_the_cache_is_no_model_but_its_snapshots_are(tmp_path: Path, which: str) -> None:
    hub = tmp_path / "hub"
    write(hub / "models--org--name", {"blobs/abc": b"bytes", f"snapshots/{COMMIT}/real.txt": b"own"})
    with pytest.raises(UsageError) as caught:
        read_folder(hub / which)
    assert str(caught.value.hint).endswith(f"models--org--name/snapshots/{COMMIT}")


def test_a_link_within_the_folder_is_the_file(folder: Path) -> None:
    (folder / "again.json").symlink_to("config.json")
    assert "again.json" in paths(folder)


@pytest.mark.parametrize("where", ["file", "folder", "fifo", "gone"])
def test_what_is_not_a_file_of_the_folder_is_refused(folder: Path, tmp_path: Path, where: str) -> None:
    outside = write(tmp_path / "outside", {"secret": b"s"})
    odd = folder / "odd"
    if where == "fifo":
        os.mkfifo(odd)
    elif where == "gone":
        odd.symlink_to("nowhere")
    else:
        odd.symlink_to(outside / "secret" if where == "file" else outside)
    with pytest.raises((UsageError, NotFoundError)) as caught:
        read_folder(folder)
    assert "odd" in caught.value.message


def test_a_path_that_no_listing_may_hold_is_refused(folder: Path) -> None:
    (folder / "a\nb").write_bytes(b"")
    with pytest.raises(UnsafeError, match="unsafe path"):
        read_folder(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        read_folder(tmp_path / "none")
