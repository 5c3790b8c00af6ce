"""What readers of the cache find, with the real huggingface_hub as one of them, and what a finished run leaves."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import _tree_cache, scan_cache_dir, snapshot_download
from huggingface_hub.errors import CacheNotFound, LocalEntryNotFoundError

from tests.crash.scenarios import Content, Stage
from tests.hub.content import blob_names
from tests.machine.machine import Machine, content

# A repo folder in which nothing was published yet; huggingface_hub leaves it out of its list.
_HARMLESS = "Snapshots dir doesn't exist"


def wrong_things(machine: Machine, stage: Stage, *, done: bool) -> list[str]:
    """Everything in the cache that a reader must not find; with `done`, also what must be there and is not."""
    return [
        *_wrong_blobs(machine.cache),
        *_wrong_links(machine.cache),
        *_wrong_refs(machine.cache),
        *_scan(machine.cache, done=done and stage.fills_cache),
        *(_offline(machine.cache, stage, done=done) if stage.fills_cache else ()),
        *_wrong_local(machine, stage, done=done),
    ]


def litter(machine: Machine) -> list[str]:
    """What nobody needs any more after a run that ended well."""
    left = [*machine.stage.glob("*"), *machine.runtime.glob("*"), *(machine.folder / "tmp").glob("*")]
    left += [path for path in machine.folder.rglob("*") if path.name.startswith(("scratch-", ".no-such"))]
    left += machine.cache.rglob("*.incomplete")
    return sorted({str(path.relative_to(machine.folder)) for path in left})


def _wrong_blobs(cache: Path) -> list[str]:
    """Every blob under its final name is whole, whether or not a snapshot leads to it: the next run will believe it."""
    wrong = []
    for blob in cache.glob("*/blobs/*"):
        data = blob.read_bytes()
        if blob.name not in blob_names(data):
            wrong.append(f"wrong bytes in {blob.name}")
    return wrong


def _wrong_links(cache: Path) -> list[str]:
    links = [path for path in cache.glob("*/snapshots/**/*") if path.is_symlink()]
    return [f"{path.relative_to(cache)} leads nowhere" for path in links if not path.exists()]


def _wrong_refs(cache: Path) -> list[str]:
    wrong = []
    for ref in (path for path in cache.glob("*/refs/**/*") if path.is_file()):
        commit = ref.read_text("utf-8", "replace")
        if not (ref.parents[1] / "snapshots" / commit).is_dir():
            wrong.append(f"{ref.relative_to(cache)} names {commit!r}, which is not there")
    return wrong


def _scan(cache: Path, *, done: bool) -> list[str]:
    try:
        warnings = [str(warning) for warning in scan_cache_dir(cache).warnings]
    except CacheNotFound:
        return ["there is no cache"] if done else []
    return [text for text in warnings if done or _HARMLESS not in text]


def _offline(cache: Path, stage: Stage, *, done: bool) -> list[str]:
    """An offline reader gets all of the old commit or all of the new one, or is told that there is nothing."""
    _tree_cache._IN_MEMORY_TREE_CACHE.clear()
    try:
        folder = Path(snapshot_download(stage.repo.name, revision="main", cache_dir=cache, local_files_only=True))
    except LocalEntryNotFoundError as error:
        return [f"offline: {error}"] if done or stage.before is not None else []
    found = content(folder)
    allowed: list[Content] = [stage.after] if done or stage.before is None else [stage.before, stage.after]
    return [] if found in allowed else [f"offline: {folder.name} holds {sorted(found)}, or wrong bytes"]


def _wrong_local(machine: Machine, stage: Stage, *, done: bool) -> list[str]:
    if stage.local_dir is None:
        return []
    everything = content(machine.work / stage.local_dir)
    found = {path: data for path, data in everything.items() if not path.startswith((".glm-aria/", "scratch-"))}
    if done:
        return [] if found == stage.after else [f"the plain folder holds {sorted(found)}, or wrong bytes"]
    return [f"{path} is wrong in the plain folder" for path, data in found.items() if stage.after.get(path) != data]
