"""What a disk takes: the type of its file system, and the largest file that it holds."""

from pathlib import Path

import pytest

from orchestrator.disk import space
from orchestrator.errors import CannotCreateError

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
