"""Folders that are opened once: what a process that exchanges them meanwhile can lead astray. Nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.disk import folders
from orchestrator.disk.folders import Folder, exposed_above, hold, is_same_place, open_fresh
from orchestrator.errors import UnsafeError

_SWAP = """
import os, sys
folder, elsewhere = sys.argv[1:]
away = folder + ".away"
print("on", flush=True)
while True:
    os.rename(folder, away)
    os.symlink(elsewhere, folder)
    os.unlink(folder)
    os.rename(away, folder)
    for _ in range(1000):
        pass
"""


@contextmanager
def swapping(folder: Path, elsewhere: Path) -> Iterator[None]:
    """Another process puts a link to `elsewhere` at the place of `folder`, and takes it away again, all the time."""
    words = [sys.executable, "-S", "-c", _SWAP, str(folder), str(elsewhere)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        assert process.stdout.readline() == b"on\n"
        yield
        assert process.poll() is None, "it stopped swapping"
    finally:
        process.kill()
        process.communicate()


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where nothing may appear."""
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder where no rename waits for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def test_nothing_goes_through_a_folder_that_is_exchanged(quick: Path) -> None:
    folder, there = quick / "root" / "a", quick / "there"
    (folder / "b").mkdir(parents=True)
    (there / "b").mkdir(parents=True)
    refused = written = number = 0
    deadline = time.monotonic() + 60
    with Folder.open(quick / "root") as root, swapping(folder, there):
        while min(refused, written) < 50 and time.monotonic() < deadline:
            number += 1
            try:
                with root.beneath("a/b") as opened:
                    os.close(opened.create(f"file{number}"))
                    opened.symlink("x", f"link{number}")
                    (opened.held / f"held{number}").write_bytes(b"")
                written += 1
            except (UnsafeError, FileNotFoundError):
                refused += 1
    assert min(refused, written) >= 50
    assert list((there / "b").iterdir()) == []
    (at,) = (quick / "root").glob("a*/b") if not folder.is_symlink() else (quick / "root").glob("*away/b")
    assert len(list(at.iterdir())) == 3 * written


def test_an_open_folder_stays_the_same(tmp_path: Path, there: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (there / "seen").write_text("mine")
    with Folder.open(tmp_path / "root") as root, root.beneath("a") as folder:
        (tmp_path / "root" / "a").rename(tmp_path / "root" / "away")
        (tmp_path / "root" / "a").symlink_to(there)
        folder.symlink("text", "seen")
        source = tmp_path / "source"
        source.write_text("new")
        folder.replace(source, "file")
        assert folder.readlink("seen") == "text"
        assert folder.names() == ["file", "seen"]
        assert folder.read_small("file", 3) == b"new"
        folder.move_out("file", tmp_path / "out")
        folder.unlink("seen")
        folder.unlink("seen", missing_ok=True)
        folder.sync()
        with pytest.raises(UnsafeError, match="symlink"):
            root.beneath("a")
    assert (there / "seen").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "new"


def test_folders_are_made_and_told_of(tmp_path: Path) -> None:
    made: list[Path] = []
    with Folder.open(tmp_path) as root:
        root.beneath("a/b", made).close()
        root.beneath("a/b", made).close()
        root.beneath(".").close()
        with pytest.raises(FileNotFoundError, match="a/c"):
            root.beneath("a/c")
        (tmp_path / "a" / "file").touch()
        with pytest.raises(NotADirectoryError, match="a/file"):
            root.beneath("a/file/x", [])
        for outside in ("../x", "a/../x", "/etc"):
            with pytest.raises(ValueError, match="not below"):
                root.beneath(outside, made)
    assert made == [tmp_path, tmp_path / "a"]


def test_a_folder_that_may_only_be_passed_through(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o311)
    with Folder.open(tmp_path) as root, root.beneath("a/b") as folder:
        os.close(folder.create("x"))
    (tmp_path / "a").chmod(0o755)
    assert (tmp_path / "a" / "b" / "x").exists()


def test_descriptors_are_given_back(tmp_path: Path, there: Path) -> None:
    (tmp_path / "link").symlink_to(there)
    before = open_files()
    with Folder.open(tmp_path) as root:
        for inside in ("link/x", "gone/x"):
            with pytest.raises((UnsafeError, FileNotFoundError)):
                root.beneath(inside)
        root.beneath("there").close()
    assert open_files() == before


def test_links_to_a_name_go_and_others_stay(tmp_path: Path, there: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one").symlink_to("../../blobs/abc")
    (tmp_path / "a" / "two").symlink_to("../blobs/other")
    (tmp_path / "a" / "abc").touch()
    (there / "three").symlink_to("blobs/abc")
    (tmp_path / "a" / "away").symlink_to(there)
    with Folder.open(tmp_path) as root, root.beneath("a") as folder:
        folder.unlink_links("abc")
        with pytest.raises(OSError, match=r"Not a directory"):
            root.remove_empty("a")
        for name in ("two", "abc", "away"):
            folder.unlink(name)
        root.remove_empty("a")
        root.remove_empty("a")
    assert [path.name for path in there.iterdir()] == ["three"]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("what", ["file", "link", "hard link", "fifo"])
def test_a_fresh_file_is_never_what_lay_there(tmp_path: Path, what: str) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    path = tmp_path / "path"
    if what == "file":
        path.write_text("old")
    elif what == "link":
        path.symlink_to(other)
    elif what == "hard link":
        path.hardlink_to(other)
    else:
        os.mkfifo(path)
    with os.fdopen(open_fresh(path, 0o600), "w") as file:
        file.write("new")
    assert other.read_text() == "mine"
    assert path.read_text() == "new"
    assert not path.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
@pytest.mark.parametrize(
    ("mode", "is_exposed"), [(0o755, False), (0o775, True), (0o2775, True), (0o757, True), (0o1777, False)]
)
def test_who_may_exchange_a_folder(tmp_path: Path, mode: int, is_exposed: bool) -> None:
    place = tmp_path / "shared" / "sub" / "state"
    place.mkdir(parents=True)
    os.chown(tmp_path / "shared", -1, 4242)  # the private group of a user would count as the user
    (tmp_path / "shared").chmod(mode)
    assert exposed_above(place) == (tmp_path / "shared" if is_exposed else None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_the_owner_of_a_folder_above_may_exchange_it(tmp_path: Path) -> None:
    place = tmp_path / "theirs" / "state"
    place.mkdir(parents=True)
    os.chown(tmp_path / "theirs", 4242, 4242)
    (tmp_path / "theirs").chmod(0o1755)
    assert exposed_above(place) == tmp_path / "theirs"


def test_a_held_folder_stays_the_same_for_other_programs_too(tmp_path: Path, there: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    held = hold(tmp_path / "state")
    assert held is not None
    assert hold(tmp_path / "state") == held
    (tmp_path / "state").rename(tmp_path / "away")
    (tmp_path / "state").symlink_to(there)
    subprocess.run(["touch", held / "file"], check=True)
    assert (tmp_path / "away" / "file").exists()
    assert list(there.iterdir()) == []
    with pytest.raises(OSError, match=r".") as caught:
        hold(tmp_path / "state")
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_what_is_open_to_others_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o750)
    with pytest.raises(PermissionError):
        hold(tmp_path / "state")


def test_nothing_is_held_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    before = open_files()
    monkeypatch.setattr(folders, "Path", lambda _text: tmp_path / "no-proc")
    assert hold(tmp_path / "state") is None
    assert open_files() == before


def test_the_same_place_under_two_names(tmp_path: Path, there: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    held = hold(tmp_path / "state")
    assert held is not None
    assert is_same_place(held, tmp_path / "state")
    assert not is_same_place(held, there)
    assert not is_same_place(tmp_path / "gone", there)
    # A process that has ended holds nothing; its downloads in a daemon that lives on are nobody's.
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert is_same_place(Path(f"/proc/{ended.pid}/fd/3/stage"), there)
