"""huggingface_hub's store of blobs that several repos share, as its own `_shared_blobs.py` (2.4) treats it.

`blobs/<xx>/<hash>` holds the bytes, `<hash>.lock` is its lock, and `<hash>.refs` names the blobs that point to it, one
a line, relative to the cache. It is written before a symlink appears, so a manifest without a living symlink means
that there is none. A file without a manifest is kept, as huggingface_hub does.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from orchestrator.disk.folders import Folder
from orchestrator.disk.locks import Patience, blob_lock
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES


def release(root: Folder, real: Path, patience: Patience) -> int:
    """Remove the file `real` of the store unless some repo still points to it; returns the bytes that this freed.

    `root` is the cache's folder, open.
    """
    manifest = f"{real.name}.refs"
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_disk("remove", real))
        store = stack.enter_context(root.beneath(real.parent.relative_to(root.path)))
        if not stack.enter_context(blob_lock(f"{real.name}.lock", patience, create_in=store)):
            return 0
        users = _users(root.path, real, store, manifest)
        found = store.lstat(real.name)
        if users is None or users or not stat.S_ISREG(found.st_mode):
            return 0
        store.unlink(real.name)
        store.unlink(manifest, missing_ok=True)
        return found.st_size


def _users(cache_dir: Path, real: Path, store: Folder, manifest: str) -> list[Path] | None:
    """The blobs that point to the file; None when nobody can tell."""
    try:
        lines = store.read_small(manifest, RECORD_BYTES).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    named = [cache_dir / line for line in lines if line and ".." not in Path(line).parts and not line.startswith("/")]
    return [path for path in named if path.is_symlink() and os.path.realpath(path) == os.fspath(real)]
