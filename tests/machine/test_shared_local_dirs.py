"""A plain folder of a model that others may write to: nothing is removed through a link that one of them put there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.files import Digest
from orchestrator.core.plan import ResolvedModel
from orchestrator.disk.atomic import open_root
from orchestrator.disk.conflicts import in_the_way, make_room
from orchestrator.disk.folders import Folder
from orchestrator.errors import UnsafeError
from orchestrator.folders.local_dir import place_local
from tests.cache.world import model_of
from tests.machine.conditions import needs_root
from tests.machine.users import OtherUser

pytestmark = needs_root

# He waits until copies are made, then puts a link to a private folder where a folder of ours was.
_SWAP = """
import os, sys
notes, folder, private = sys.argv[1:]
print("on", flush=True)
while len(os.listdir(notes)) < 5:
    pass
os.rename(folder, folder + ".away")
os.symlink(private, folder)
print("swapped", flush=True)
"""


@pytest.fixture
def shared(open_place: Path, other_user: OtherUser) -> Iterator[Path]:
    """A folder of ours and a group that the other user is in, and a umask that lets the group write."""
    folder = open_place / "plain"
    folder.mkdir()
    os.chown(folder, -1, other_user.uid)
    folder.chmod(0o2775)
    before = os.umask(0o002)
    yield folder
    os.umask(before)


@pytest.fixture
def private(open_place: Path) -> Path:
    folder = open_place / "private"
    (folder / "empty").mkdir(parents=True)
    (folder / "a").write_text("mine")
    (folder / "a.metadata").write_text("mine")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def revision(folder: Path, files: dict[str, bytes], commit: str) -> tuple[ResolvedModel, dict[Digest, Path]]:
    """A model, and a blob for each of its files."""
    model, blobs = model_of(files, commit=commit), dict[Digest, Path]()
    for file in model.wanted.files:
        blobs[file.digest] = folder / file.digest.hex
        blobs[file.digest].write_bytes(files[file.path])
    return model, blobs


def test_a_folder_that_must_go_is_exchanged(tmp_path: Path, shared: Path, private: Path, other_user: OtherUser) -> None:
    place_local(shared, *revision(tmp_path, {"d/a": b"old", "x": b"x"}, "c" * 40))
    before = names(private)
    files = {"d": b"now a file", **{f"f{number:05}": b"%d" % number for number in range(3000)}}
    newer = revision(tmp_path, files, "d" * 40)
    process = other_user.start_python(_SWAP, shared / ".cache" / "huggingface", shared / "d", private)
    assert process.stdout
    assert process.stdout.readline() == "on\n"
    with pytest.raises(UnsafeError, match="symlink"):
        place_local(shared, *newer)
    assert process.stdout.readline() == "swapped\n"
    assert names(private) == before


def test_a_folder_that_a_list_chose_became_a_link(tmp_path: Path, private: Path) -> None:
    """Who writes beside the list may put one there while the files come, or before a run is resumed."""
    model, blobs = revision(tmp_path, {"d/a": b"bytes"}, "c" * 40)
    chosen = tmp_path / "lists" / "plain"
    place_local(chosen, model, blobs, no_links=True)
    assert (chosen / "d" / "a").read_bytes() == b"bytes"
    shutil.rmtree(chosen)
    before = names(private)
    for link, to in ((chosen, private), (chosen.parent, private.parent)):
        if link.is_dir():
            link.rmdir()
        link.symlink_to(to)
        with pytest.raises(UnsafeError, match="symlink"):
            place_local(chosen, model, blobs, no_links=True)
        with pytest.raises(UnsafeError, match="symlink"):
            open_root(chosen, no_links=True)
        link.unlink()
    assert names(private) == before


def test_the_folder_of_a_note_is_a_link(tmp_path: Path, shared: Path, private: Path) -> None:
    place_local(shared, *revision(tmp_path, {"d/a": b"old"}, "c" * 40))
    notes = shared / ".cache" / "huggingface" / "download" / "d"
    (notes / "a.metadata").replace(private / "a.metadata")
    notes.rmdir()
    notes.symlink_to(private)
    before = names(private)
    with pytest.raises(UnsafeError, match="symlink"):
        place_local(shared, *revision(tmp_path, {"d": b"now a file"}, "d" * 40))
    assert names(private) == before


def test_room_is_made_beneath_the_folder_only(shared: Path, private: Path) -> None:
    (shared / "d" / "e").mkdir(parents=True)
    (shared / "d" / "e" / "a").touch()
    (shared / "d" / "link").symlink_to(private)
    found = in_the_way(shared, ["d"])
    assert found == ("d/e/a", "d/link")
    before = names(private)
    with Folder.open(shared) as opened:
        (shared / "d" / "e").rename(shared / "away")
        (shared / "d" / "e").symlink_to(private)
        with pytest.raises(UnsafeError, match="symlink"):
            make_room(opened, ["d"], found)
        assert names(private) == before
        (shared / "d" / "e").unlink()
        assert make_room(opened, ["d"], found) == {shared}
    assert names(shared) == ["away"]
    assert names(private) == before
