"""The identity of a cache: nodes that share one know by it that they have the same files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path

from orchestrator.disk.atomic import drop, scratch
from orchestrator.disk.space import file_system
from orchestrator.system.small_files import SETTINGS_BYTES, read_small

_NAME = "cache-id"
_ID = re.compile(r"[0-9a-f]{16}")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_OF_ONE_MACHINE = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "bcachefs", "overlay"}
"""File systems that no other machine can see: two that have the same word there have copies of one folder."""


def cache_id(state_dir: Path) -> str:
    """The id of the cache of a state folder, by the word in `cache-id` there, which the first who asks makes; empty
    where that cannot be.

    It tells nothing, and is the same for all who use the cache, on whichever machine. A copy of the folder, as machines
    have it that were made of one image, is another cache.
    """
    target = state_dir / _NAME
    if found := _read(target):
        return _here(found, target)
    temporary = scratch(state_dir / "stage")
    with contextlib.suppress(OSError):
        temporary.write_text(secrets.token_hex(8))
        # Unlike a rename, it leaves what another one made meanwhile.
        os.link(temporary, target)
    drop(temporary)
    return _here(_read(target), target)


def _here(word: str, path: Path) -> str:
    """The id by a word: that itself on a file system that several machines may share, and else one of this file."""
    if not word or file_system(path) not in _OF_ONE_MACHINE:
        return word
    try:
        boot, found = _BOOT.read_text("ascii").strip(), path.stat()
    except (OSError, ValueError):
        return word
    return hashlib.sha256(f"{word}|{boot}|{found.st_dev}|{found.st_ino}".encode()).hexdigest()[:16]


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = read_small(path, SETTINGS_BYTES).decode().strip()
        return text if _ID.fullmatch(text) else ""
    return ""
