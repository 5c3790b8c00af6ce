"""What a disk takes: how much room there is, the type of its file system, and the largest file that it holds."""

import os
from pathlib import Path

import pytest

from orchestrator.disk import space
from orchestrator.errors import CannotCreateError, NoSpaceError

MOUNTS = """\
24 29 0:22 / /proc rw,nosuid shared:12 - proc proc rw
29 1 254:99 / / rw,relatime - ext4 /dev/root rw
31 29 {device} / /media/usb\\040stick rw - {type} /dev/sdb1 rw,fmask=0022
"""


def test_the_file_system_is_read_from_the_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    for kind in ("vfat", "ext4"):
        mounts.write_text(MOUNTS.format(device=f"{device >> 8}:{device & 0xFF}", type=kind))
        assert space.file_system(tmp_path, mounts) == kind
    mounts.write_text("")
    assert space.file_system(tmp_path, mounts) is None
    assert space.file_system(tmp_path)
    assert space.file_system(Path("/proc")) == "proc"
    space.check_largest(5 << 30, tmp_path / "not" / "there")
    monkeypatch.setattr(space, "file_system", lambda _path: "vfat")
    space.check_largest((4 << 30) - 1, tmp_path)
    with pytest.raises(CannotCreateError, match=r"5\.37 GB: it lies on FAT32"):
        space.check_largest(5 << 30, tmp_path)


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    room = space.space(tmp_path / "not" / "yet" / "there")
    assert room.free > 0
    # Others write to that disk, too.
    assert abs(space.check(0, tmp_path / "x").free - space.space(tmp_path).free) < 1 << 30
    with pytest.raises(NoSpaceError, match="TB are missing"):
        space.check(room.free + (5 << 40), tmp_path)
    with pytest.raises(NoSpaceError, match="missing"):
        space.check(1, tmp_path, reserve=2 * room.free)


def test_inodes_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*real[:6], 10, 7, *real[8:])))
    with pytest.raises(NoSpaceError, match="inodes"):
        space.check(0, tmp_path, files=2)
    assert space.check(0, tmp_path, files=1).inodes == 7
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*real[:5], 0, 0, 0, *real[8:])))
    assert space.check(0, tmp_path, files=10**9).inodes is None
