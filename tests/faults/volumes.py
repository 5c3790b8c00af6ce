"""A small file system of its own: a tmpfs in a mount namespace that a sleeping process keeps open."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Volume:
    """`folder` is where a command finds it that is run behind `prefix`; `path` is where the test does."""

    folder: Path
    holder: int

    @property
    def path(self) -> Path:
        return Path(f"/proc/{self.holder}/root{self.folder}")

    @property
    def prefix(self) -> tuple[str, ...]:
        user = () if os.geteuid() == 0 else ("-U", "--preserve-credentials")
        return ("nsenter", "-t", str(self.holder), *user, "-m")

    def remount(self, options: str) -> None:
        """Change its options, such as `ro`."""
        subprocess.run(
            [*self.prefix, "mount", "-o", f"remount,{options}", self.folder], check=True, capture_output=True
        )


@contextmanager
def ntfs_volume(folder: Path, image: Path) -> Iterator[None]:
    """Mount an NTFS as Windows has it on `folder`: no letter case in names, none that Windows forbids. Needs root.

    The driver of ntfs-3g; a kernel with file systems that fold letters is rare.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(700 << 20)
    subprocess.run(["mkntfs", "-F", "-q", "-Q", image], check=True, capture_output=True)
    try:
        command = ["lowntfs-3g", "-o", "ignore_case,windows_names", str(image), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        yield
    finally:
        if folder.is_mount():
            # Whoever is still in there keeps it until he leaves; nobody finds it any more.
            subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


NO_NTFS = "needs root, /dev/fuse and ntfs-3g"


def has_ntfs() -> bool:
    """True where `ntfs_volume` works."""
    return os.geteuid() == 0 and Path("/dev/fuse").exists() and shutil.which("lowntfs-3g") is not None


@contextmanager
def small_volume(folder: Path, options: str) -> Iterator[Volume]:
    """Mount a tmpfs on `folder` with these options (`size=64m`, `nr_inodes=100`); nobody else sees it."""
    folder.mkdir(parents=True, exist_ok=True)
    user = [] if os.geteuid() == 0 else ["-r"]
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && echo mounted && exec cat'
    process = subprocess.Popen(
        ["unshare", *user, "-m", "sh", "-c", script, "sh", options, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "mounted\n", "a tmpfs cannot be mounted here"
        yield Volume(folder, process.pid)
    finally:
        process.kill()
        process.communicate(timeout=10)
