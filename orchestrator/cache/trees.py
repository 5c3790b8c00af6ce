"""`trees/<commit>.json`: the full listing, as huggingface_hub 2.4 writes it (`_tree_cache.py`).

With it, an offline `snapshot_download` knows whether a snapshot is complete. It lists the whole repo also where only
some files were wanted: the reader filters it by its own patterns.
"""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.core.files import Algorithm, RepoFile, RepoTree, lfs_pointer_oid
from orchestrator.core.plan import ResolvedModel
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.system.small_files import RECORD_BYTES, read_small

_VERSION = 1
Entry = dict[str, str | int]


def tree_entries(tree: RepoTree) -> dict[str, Entry] | None:
    """The file's entries by path; None if a git id is missing that only the Hub knows."""
    entries: dict[str, Entry] = {}
    for file in tree.files:
        entry = _entry(file)
        if entry is None:
            return None
        entries[file.path] = entry
    return entries


def model_entries(model: ResolvedModel) -> dict[str, Entry] | None:
    """`tree_entries` of a model; None also when no more is known than a lock file names of it."""
    return tree_entries(model.tree) if model.is_whole else None


def render(entries: dict[str, Entry]) -> str:
    """The file's text."""
    ordered = {path: entries[path] for path in sorted(entries)}
    return json.dumps({"format_version": _VERSION, "files": ordered}, indent=1)


def holds(path: Path, entries: dict[str, Entry]) -> bool:
    """True when the file lists just these entries; an `xet_hash` that huggingface_hub added is fine."""
    try:
        data = json.loads(read_small(path, RECORD_BYTES))
        if data["format_version"] != _VERSION:
            return False
        files = data["files"]
        if files == entries:
            return True
        for info in files.values():
            info.pop("xet_hash", None)
        return bool(files == entries)
    except UNREADABLE:
        return False


def listed(path: Path) -> dict[str, tuple[str, int]]:
    """Blob name and size of each path in the file. Empty if it cannot be read."""
    try:
        data = json.loads(read_small(path, RECORD_BYTES))
        if data["format_version"] != _VERSION:
            return {}
        return {
            str(name): (str(info.get("lfs_sha256") or info["blob_id"]), int(info["size"]))
            for name, info in data["files"].items()
        }
    except UNREADABLE:
        return {}


def _entry(file: RepoFile) -> Entry | None:
    if file.is_lfs:
        if file.digest.algorithm is not Algorithm.SHA256:
            return None
        blob_id = file.git_oid or lfs_pointer_oid(file.digest.hex, file.size)
        return {"size": file.size, "blob_id": blob_id, "lfs_sha256": file.digest.hex, "lfs_size": file.size}
    blob_id = file.git_oid or (file.digest.hex if file.digest.algorithm is Algorithm.GIT_SHA1 else "")
    return {"size": file.size, "blob_id": blob_id} if blob_id else None
