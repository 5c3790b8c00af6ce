"""Folders that are ours alone: what is believed of one that is there already, and where the runtime folder lies."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.disk import private
from orchestrator.disk.private import PrivateFolder, in_private_folder, runtime_folder, runtime_folders
from orchestrator.errors import CannotCreateError, GlmAriaError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder to another user")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def a_link(path: Path) -> None:
    path.with_name("target").mkdir(mode=0o700)
    path.symlink_to(path.with_name("target"))


def of_another_user(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)


ODD: list[Callable[[Path], object]] = [a_link, lambda path: path.write_text(""), os.mkfifo]


@pytest.mark.parametrize("make", [*ODD, pytest.param(of_another_user, marks=needs_root)])
def test_what_is_no_folder_of_ours(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "glm-aria-0"
    make(path)
    assert PrivateFolder.find(path) is None
    with pytest.raises(CannotCreateError) as caught:
        PrivateFolder.make(path)
    assert "XDG_RUNTIME_DIR" in str(caught.value.hint)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("bits", [0o755, 0o710, 0o701, 0o777, 0o770])
def test_a_folder_that_others_may_enter(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(bits)
    assert PrivateFolder.find(path) is None
    with PrivateFolder.make(path) as folder:
        assert mode(path) == 0o700
        folder.write("x", "mine")
        assert folder.read("x", 10) == b"mine"
        assert mode(path / "x") == 0o600


def test_files_in_it_that_are_not_ours_alone(tmp_path: Path) -> None:
    with PrivateFolder.make(tmp_path / "mine") as folder:
        (tmp_path / "mine" / "open").write_text("planted")
        (tmp_path / "mine" / "open").chmod(0o644)
        (tmp_path / "elsewhere").write_text("x")
        (tmp_path / "elsewhere").chmod(0o600)
        (tmp_path / "mine" / "link").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(tmp_path / "mine" / "fifo", 0o600)
        for name in ("open", "link", "fifo", "none"):
            with pytest.raises(OSError, match=name):
                folder.read(name, 10)
        folder.write("link", "new")
        assert (tmp_path / "elsewhere").read_text() == "x"
        assert folder.child("link") is None
        folder.remove_tree("fifo")
        folder.remove_tree("none")
        assert sorted(folder.names()) == ["link", "open"]


def test_a_file_that_does_not_fit_is_an_error_of_the_disk(tmp_path: Path) -> None:
    """The file refuses the text again when it is closed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write(folder: PrivateFolder) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
        try:
            folder.write("daemon.json", "too much")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.raises(GlmAriaError, match=r"daemon\.json"):
        in_private_folder(tmp_path / "run", write)


def test_a_tree_is_removed_but_not_what_a_link_leads_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "deep").mkdir(parents=True)
    with PrivateFolder.make(tmp_path / "mine") as folder:
        folder.make_child("run")
        (tmp_path / "mine" / "run" / "link").symlink_to(target)
        (tmp_path / "mine" / "other").symlink_to(target)
        folder.remove_tree("run")
        folder.remove_tree("other")
        assert folder.names() == []
    assert (target / "deep").is_dir()


def test_the_folder_and_not_its_name(tmp_path: Path) -> None:
    """It is exchanged after it was opened: nothing lands in the new one."""
    with PrivateFolder.make(tmp_path / "mine") as folder:
        (tmp_path / "mine").rename(tmp_path / "moved")
        (tmp_path / "mine").mkdir(mode=0o777)
        folder.write("secret", "x")
        folder.make_child("run")
    assert list((tmp_path / "mine").iterdir()) == []
    assert {path.name for path in (tmp_path / "moved").iterdir()} == {"secret", "run"}


def test_another_run_removes_it_just_now(tmp_path: Path) -> None:
    """A run that ends removes it when it finds it empty."""
    runtime, removals = tmp_path / "runtime", 50  # fewer than the tries of one call, so none may fail
    ended = threading.Event()

    def remove() -> None:
        left = removals
        while left and not ended.is_set():
            with suppress(OSError):
                runtime.rmdir()
                left -= 1

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        while remover.is_alive():
            in_private_folder(runtime, lambda folder: folder.make_child("x"))
            assert (runtime / "x").is_dir()
            (runtime / "x").rmdir()
    finally:
        ended.set()
        remover.join()


# -- where it lies


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No place but those of the test: as on a machine without /run/user and /tmp."""
    for name in ("XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(private, "_TEMPORARY", (str(tmp_path / "tmp"), str(tmp_path / "shm")))
    monkeypatch.setattr(private, "_USERS", str(tmp_path / "run-user"))
    for name, bits in (("tmp", 0o1777), ("shm", 0o1777), ("xdg", 0o700), ("state", 0o700)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(bits)
    return tmp_path


def chosen(places: Path) -> str:
    found = runtime_folder(lambda: places / "state")
    return str(found.relative_to(places))


def test_the_first_place_that_will_do(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid()
    assert chosen(places) == f"tmp/glm-aria-{user}"
    (places / "run-user").mkdir(mode=0o755)
    (places / "run-user" / str(user)).mkdir(mode=0o700)
    assert chosen(places) == f"run-user/{user}/glm-aria"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "xdg"))
    assert chosen(places) == "xdg/glm-aria"
    (places / "xdg").chmod(0o770)  # whoever may write there could exchange the folder
    assert chosen(places) == f"run-user/{user}/glm-aria"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert chosen(places) == f"run-user/{user}/glm-aria"


def test_a_temporary_folder_where_names_can_be_exchanged(places: Path) -> None:
    (places / "tmp").chmod(0o777)
    assert chosen(places) == f"shm/glm-aria-{os.geteuid()}"


def test_no_temporary_folder_at_all(places: Path) -> None:
    (places / "tmp").rmdir()
    (places / "shm").rmdir()
    assert chosen(places) == "state/run"


@pytest.mark.parametrize("make", [*ODD, pytest.param(of_another_user, marks=needs_root)])
def test_somebody_was_there_first(places: Path, make: Callable[[Path], object]) -> None:
    make(places / "tmp" / f"glm-aria-{os.geteuid()}")
    assert chosen(places) == f"shm/glm-aria-{os.geteuid()}"


@needs_root
def test_a_runtime_folder_of_another_user(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sudo` may leave it in the environment."""
    os.chown(places / "xdg", 12345, 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "xdg"))
    assert chosen(places) == f"tmp/glm-aria-{os.geteuid()}"


def test_all_places_in_which_one_may_be(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end where nobody else could have taken the name."""
    name = f"glm-aria-{os.geteuid()}"

    def found() -> list[str]:
        return [str(path.relative_to(places)) for path in runtime_folders(lambda: places / "state")]

    assert found() == [f"tmp/{name}", f"shm/{name}", "state/run"]
    monkeypatch.setenv("TMPDIR", str(places / "xdg"))
    assert found() == [f"xdg/{name}"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "xdg"))
    assert found() == ["xdg/glm-aria"]
