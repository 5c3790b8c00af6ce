"""huggingface_hub's store of blobs that several repos share, as its own `_shared_blobs.py` (2.4) treats it.

`blobs/<xx>/<hash>` holds the bytes, `<hash>.lock` is its lock, and `<hash>.refs` names the blobs that point to it, one
a line, relative to the cache. It is written before a symlink appears, so a manifest without a living symlink means
that there is none. A file without a manifest is kept, as huggingface_hub does.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.oserrors import on_disk
from orchestrator.store.locks import blob_lock


def release(cache_dir: Path, real: Path) -> int:
    """Remove the file `real` of the store unless some repo still points to it; returns the bytes that this freed."""
    manifest = real.with_name(f"{real.name}.refs")
    with on_disk("remove", real), blob_lock(real.with_name(f"{real.name}.lock"), create=True) as is_held:
        if not is_held:
            return 0
        users = _users(cache_dir, real, manifest)
        if users is None or users or real.is_symlink() or not real.is_file():
            return 0
        size = real.stat().st_size
        real.unlink()
        manifest.unlink(missing_ok=True)
        return size


def _users(cache_dir: Path, real: Path, manifest: Path) -> list[Path] | None:
    """The blobs that point to the file; None when nobody can tell."""
    try:
        if manifest.is_symlink():
            return None
        lines = manifest.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    named = [cache_dir / line for line in lines if line and ".." not in Path(line).parts and not line.startswith("/")]
    return [path for path in named if path.is_symlink() and os.path.realpath(path) == os.fspath(real)]
