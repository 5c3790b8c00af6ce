"""Which names a disk can hold, asked of real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.disk.portable_names import can_hold
from orchestrator.errors import GlmAriaError
from tests.faults.volumes import NO_NTFS, has_ntfs, ntfs_volume
from tests.machine.conditions import open_folder

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


@pytest.mark.skipif(not has_ntfs(), reason=NO_NTFS)
def test_a_volume_of_a_test_goes_though_somebody_is_in_it() -> None:
    """A mount that stays would be emptied by whoever removes the folder."""
    with open_folder() as folder:
        with ntfs_volume(folder / "disk", folder / "image"):
            held = os.open(folder / "disk", os.O_RDONLY)
        try:
            assert not (folder / "disk").is_mount()
        finally:
            os.close(held)
