"""Publishing a placed snapshot: the listing, then the ref, last. Same files as huggingface_hub 2.4 writes.

A partial pull publishes the same two: huggingface_hub, too, writes the full listing and the ref when it was given
`allow_patterns`. Offline, the same patterns then find all they ask for, and a reader that wants more is told so.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from orchestrator.cache.inventory import read_ref, refuse_planted
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.moved import open_cache_folder
from orchestrator.cache.trees import holds, model_entries, render
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import RepoId, Target, as_word
from orchestrator.disk.atomic import make_folder, scratch_folder, write_file
from orchestrator.disk.conflicts import look_at
from orchestrator.disk.durability import sync_folders
from orchestrator.disk.folders import Folder
from orchestrator.errors import CannotCreateError, TemporaryError
from orchestrator.platform.files import walk_paths
from orchestrator.system.failures import is_closed

CACHEDIR_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#\thttps://bford.info/cachedir/\n"
)


class Flip(NamedTuple):
    """A change of what readers find: the commit before (None if there was none), and the commit now."""

    old: str | None
    new: str


def publish(layout: CacheLayout, state_dir: Path, model: ResolvedModel) -> Flip | None:
    """See `HfCache.publish`."""
    repo = model.ref.repo
    refuse_planted(layout, repo)
    _refuse_gaps(layout.snapshot(repo, model.commit), model)
    with open_cache_folder(layout.cache_dir) as root:
        stage = scratch_folder(root, state_dir / "stage")
        tag = layout.cache_dir / "CACHEDIR.TAG"
        if not tag.exists():
            try:
                write_file(tag, CACHEDIR_TAG, stage, durable=False, folder=root)
            except CannotCreateError:
                # Backups look at it, readers do not.
                if not is_closed(tag):
                    raise
        # A ref to a commit without a snapshot makes the whole repo vanish from `hf cache ls`.
        snapshot, touched = make_folder(root, f"{repo.folder}/snapshots/{model.commit}")
        snapshot.close()
        stage = root.aside(repo.folder) or stage
        entries = model_entries(model)
        tree = layout.tree_file(repo, model.commit)
        was_known = entries is not None and tree.exists()
        if entries is not None and not holds(tree, entries):
            try:
                touched += _write(root, tree, render(entries), stage)
            except CannotCreateError:
                # In a cache of somebody else's that lacks nothing but this, readers have all that they ask for.
                if not is_closed(tree):
                    raise
        sync_folders(root, touched)
        branch = model.ref.branch
        if branch is None:
            return None if was_known else Flip(None, model.commit)
        before = read_ref(layout, repo, branch)
        if before == model.commit:
            return None
        sync_folders(root, _write(root, layout.ref_file(repo, branch), model.commit, stage))
        return Flip(before, model.commit)


def _write(root: Folder, target: Path, content: str, stage: Path) -> list[Path]:
    """Write a file below the cache's folder, which is open; returns the folders in which a name was added."""
    folder, touched = make_folder(root, target.parent.relative_to(root.path))
    with folder:
        # Refs that are gone may have left a folder of this name.
        with contextlib.suppress(OSError):
            folder.remove_empty(target.name)
        write_file(target, content, stage, folder=folder)
    return [*touched, target.parent]


def _refuse_gaps(snapshot: Path, model: ResolvedModel) -> None:
    """Raise TemporaryError when a wanted file is gone again: somebody cleaned the cache up while it was filled.

    `hf cache prune` takes a snapshot that no ref names yet for one that nobody needs.
    """
    for file in model.wanted.files:
        try:
            size = (snapshot / file.path).stat().st_size
        except OSError:
            size = -1
        if size != file.size:
            raise TemporaryError(
                f"{file.path!r} vanished from the cache while the rest arrived; another program cleans it up",
                hint="run the same command again; the rest is kept",
                file=file.path,
            )


class RefNames:
    """The refs that a run makes in a cache, beside those that are there.

    Below `refs/`, `feature` and `feature/x` cannot both be: the one is a file, the other its folder. git has the same
    rule for a repository as it is; a cache also holds branches that the repository no longer has.
    """

    def __init__(self, layout: CacheLayout) -> None:
        self._layout = layout
        self._claimed: dict[RepoId, list[str]] = {}

    def claim(self, model: ResolvedModel) -> None:
        """Raise CannotCreateError, before anything is fetched, when the cache cannot hold the model's ref."""
        if model.ref.is_commit:
            return
        repo, revision = model.ref.repo, model.ref.revision
        claimed = self._claimed.setdefault(repo, [])
        other = next((name for name in claimed if _exclude(name, revision)), None) or self._taken_by(repo, revision)
        if other is not None:
            raise CannotCreateError(
                f"the cache has the ref {other!r} of {repo.url_path}, which rules out a ref called {revision!r}; "
                "nothing was fetched",
                hint=f"pull the commit: glm-aria pull {repo.url_path}@{model.commit}; "
                f"or if {other!r} is no longer needed: glm-aria cache rm {as_word(Target(repo, other))}",
                file=os.fspath(self._layout.ref_file(repo, revision)),
            )
        claimed.append(revision)

    def _taken_by(self, repo: RepoId, revision: str) -> str | None:
        """The ref in the cache that leaves no room for this one."""
        refs = self._layout.repo_dir(repo) / "refs"
        at = refs
        for part in revision.split("/"):
            above, at = at, at / part
            if look_at(at) is None:
                return None
            names = os.listdir(above)  # noqa: PTH208 - names only
            if part not in names:
                # The disk folds letters, and another ref answers to this name.
                twin = next((name for name in names if at.samefile(above / name)), part)
                return (above / twin).relative_to(refs).as_posix()
            if not at.is_dir():
                here = at.relative_to(refs).as_posix()
                return None if here == revision else here
        below = next((Path(folder, names[0]) for folder, _, names in walk_paths(at) if names), None)
        return below.relative_to(refs).as_posix() if below else None


def _exclude(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") != f"{other}/".startswith(f"{one}/")
