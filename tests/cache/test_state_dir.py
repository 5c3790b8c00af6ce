"""Where our state lies: beside the cache, or in its folder of locks."""

import stat
from pathlib import Path

import pytest

from orchestrator.cache import state_dir
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.state_dir import find_state_dir, open_state_dir
from orchestrator.errors import CannotCreateError
from tests.cache.world import World, hf_scan, model_of


def test_the_state_lies_beside_the_cache(tmp_path: Path) -> None:
    layout = CacheLayout.at(tmp_path / "hub")
    assert find_state_dir(layout) == tmp_path / "glm-aria"
    assert list(tmp_path.iterdir()) == []
    state = open_state_dir(layout)
    assert state == tmp_path / "glm-aria"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert open_state_dir(CacheLayout.at(tmp_path / "mine")) == tmp_path / "mine.glm-aria"
    state.chmod(0o755)
    assert open_state_dir(layout) == state
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.parametrize("way", ["file", "link", "other volume"])
def test_where_the_place_beside_is_not_usable_the_locks_folder_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    beside = tmp_path / "glm-aria"
    if way == "file":
        beside.write_bytes(b"")
    elif way == "link":
        (tmp_path / "elsewhere").mkdir()
        beside.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(state_dir, "_on_one_volume", lambda one, other: one != beside)
    world = World(tmp_path)
    assert world.state == tmp_path / "hub" / ".locks" / "glm-aria"
    model = model_of()
    world.pull(model)
    assert world.cache.is_complete(model)
    assert hf_scan(world) == []
    assert way == "file" or not beside.exists() or not any(beside.iterdir())


def test_a_volume_is_told_by_a_rename_that_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert state_dir._on_one_volume(tmp_path / "a", tmp_path)
    assert not state_dir._on_one_volume(tmp_path, Path("/proc"))
    shared = Path("/dev/shm")
    if shared.is_dir():
        assert not state_dir._on_one_volume(tmp_path, shared)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_place_at_all_is_an_error_that_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotCreateError, match="file"):
        open_state_dir(CacheLayout.at(tmp_path / "file" / "hub"))
