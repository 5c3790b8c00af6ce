"""Which names a disk can hold, asked of real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import GlmAriaError
from orchestrator.system.disk_names import can_hold
from tests.faults.volumes import NO_NTFS, has_ntfs, ntfs_volume


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[Path]:
    if not has_ntfs():
        pytest.skip(NO_NTFS)
    with ntfs_volume(tmp_path / "disk", tmp_path / "image"):
        yield tmp_path / "disk"


NAMES = [("a:b",), ("weird.",), ("x ",), ("CON",), ("a|b",), ("README.md", "readme.md"), ("é", "É")]


@pytest.mark.parametrize("names", [*NAMES, ("é", "e\u0301"), ("plain",), ("a", "b")])
def test_a_disk_of_this_system(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert can_hold(tmp_path, names) or names == ("é", "e\u0301")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_of_windows(windows: Path) -> None:
    assert can_hold(windows, ("plain", "é", "日本語.txt"))
    for names in NAMES:
        assert not can_hold(windows, names), names
    assert list(windows.iterdir()) == []


def test_nothing_can_be_made_there(tmp_path: Path) -> None:
    with pytest.raises(GlmAriaError, match="cannot create"):
        can_hold(Path("/proc/self"), ("a",))
