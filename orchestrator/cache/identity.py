"""The identity of a cache: nodes that share one know by it that they have the same files."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

from orchestrator.disk.atomic import drop, scratch
from orchestrator.system.small_files import SETTINGS_BYTES, read_small

_NAME = "cache-id"
_ID = re.compile(r"[0-9a-f]{16}")


def cache_id(state_dir: Path) -> str:
    """The word in `cache-id` of the state folder, made once by the first who asks; empty where that cannot be.

    It tells nothing, and is the same for all who use the cache, on whichever machine.
    """
    target = state_dir / _NAME
    if found := _read(target):
        return found
    temporary = scratch(state_dir / "stage")
    with contextlib.suppress(OSError):
        temporary.write_text(secrets.token_hex(8))
        # Unlike a rename, it leaves what another one made meanwhile.
        os.link(temporary, target)
    drop(temporary)
    return _read(target)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = read_small(path, SETTINGS_BYTES).decode().strip()
        return text if _ID.fullmatch(text) else ""
    return ""
