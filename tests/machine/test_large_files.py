"""Files that are larger than a file of this process, or of this file system, may be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.disk import space
from orchestrator.errors import CannotCreateError
from tests.hub.content import generate
from tests.hub.repos import Repo
from tests.machine import conditions as on
from tests.machine.fixtures import MakeHub
from tests.machine.machine import REPOSITORY, Machine

FILES = {"config.json": b"{}", "small.bin": generate(300_000, 1), "large.bin": generate(3_000_000, 1)}
MOUNTS = """\
24 29 0:22 / /proc rw,nosuid shared:12 - proc proc rw
29 1 254:99 / / rw,relatime - ext4 /dev/root rw
31 29 {device} / /media/usb\\040stick rw - {type} /dev/sdb1 rw,fmask=0022
"""


@pytest.mark.parametrize("limit", [100_000, 1_000_000])
def test_a_limit_of_file_sizes_is_told_before_the_first_byte(
    machine: Machine, make_hub: MakeHub, repo: Repo, limit: int
) -> None:
    hub = make_hub(repo)
    done = machine.pull("org/m", **on.limited(fsize=limit).options).ended(73)
    assert "takes no file of 3.00 MB" in done.error["message"]
    assert "ulimit -f" in done.error["hint"]
    assert not [seen for seen in hub.log.requests(method="GET") if seen.file]
    machine.pull("org/m", "--include", "config.json", **on.limited(fsize=limit).options).ended(0)


@pytest.mark.parametrize("words", [("cache", "link", "org/m", "folder"), ("pull", "org/m", "--local-dir", "folder")])
def test_a_limit_of_file_sizes_where_the_cache_is_whole(
    machine: Machine, make_hub: MakeHub, repo: Repo, words: tuple[str, ...]
) -> None:
    make_hub(repo)
    machine.pull("org/m").ended(0)
    root = ("--root", machine.root) if words[0] == "pull" else ()
    done = machine.run(*words, *root, **on.limited(fsize=1_000_000).options).ended(73)
    assert "takes no file of 3.00 MB" in done.err
    assert not (machine.work / "folder" / "large.bin").exists()


def test_efbig_of_a_system_call(tmp_path: Path) -> None:
    """What cannot be foreseen: the file system's own word, in a process that has such a limit."""
    code = """
import sys
from pathlib import Path
from orchestrator.system.failures import on_disk
try:
    with on_disk("write", sys.argv[1]), open(sys.argv[1], "wb") as file:
        file.write(bytes(200_000))
except Exception as error:
    print(type(error).__name__, error.exit_code, error.hint)
"""
    words = [*on.limited(fsize=100_000).under, sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(REPOSITORY)})
    assert done.stdout.startswith("CannotCreateError 73 FAT32")


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
