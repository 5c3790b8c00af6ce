"""Where a system has no folders that stay open, all that would write for models is refused, and nothing is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.app.extras import server_libraries
from orchestrator.cache import state_dir
from orchestrator.cache.layout import CacheLayout
from orchestrator.disk import access
from orchestrator.disk.folders import Folder
from orchestrator.disk.private import PrivateFolder
from orchestrator.errors import UnsupportedError
from orchestrator.platform import lacking, users


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as our own questions go: the calls are there."""
    monkeypatch.setattr(lacking, "HAS_FOLDERS", False)
    monkeypatch.setattr(state_dir, "HAS_FOLDERS", False)
    monkeypatch.setattr(access, "HAS_OWNERS", False)


def _serve() -> None:
    with server_libraries():
        pytest.fail("libraries of servers were imported")


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: state_dir.open_state_dir(CacheLayout.at(folder / "hub")),
        lambda folder: PrivateFolder.make(folder / "run"),
        Folder.open,
        lambda _folder: _serve(),
    ],
    ids=["state", "private", "open", "serve"],
)
def test_what_writes_is_refused_before_it_does(tmp_path: Path, act: Callable[[Path], object]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        act(tmp_path)
    assert caught.value.exit_code == 73
    assert "wsl --install" in (caught.value.hint or "")
    assert not list(tmp_path.iterdir())


def test_a_reader_has_no_state_folder(tmp_path: Path) -> None:
    assert state_dir.find_state_dir(CacheLayout.at(tmp_path / "hub"), create=True) == state_dir.NOWHERE
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_profile_is_ours_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        folder.mkdir()
        (folder / "settings").write_text("")
    (home / "link").symlink_to(other / "settings")
    monkeypatch.setenv("HOME", str(home))
    assert users.is_in_profile(home / "settings")
    assert access.others_who_may_write((home / "settings").stat(), home / "settings") is None
    assert access.others_who_may_read(home / "settings") is None
    for path in (other / "settings", home / "link"):
        assert access.others_who_may_write(path.stat(), path) is not None
        assert access.others_who_may_read(path) is not None
