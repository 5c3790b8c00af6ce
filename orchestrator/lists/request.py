"""Requests to `pull` and `plan`, independent of their form (flags, list file)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import RepoTree, literal
from orchestrator.core.refs import Ref
from orchestrator.core.trust import Policy, Signatory
from orchestrator.lists.lockfile import LockedModel
from orchestrator.lists.quantizations import wanted_paths
from orchestrator.lists.variants import not_of_variant


@dataclass(frozen=True, slots=True)
class Item:
    """One model to pull. `local_dir` also makes a plain folder of its files, outside the cache.

    With `no_links` it has no link in it, and none that comes to lie on the way to it is followed: a list chose it.

    `files` are paths that were asked for by name: each must be in the listing. `include` has them, too, as globs.
    With `locked` it is pulled as a lock file says. `quantization` names GGUF files, which are wanted besides `include`;
    `variant` the weights that are wanted alone.
    """

    ref: Ref
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    local_dir: Path | None = None
    priority: int = 0
    locked: LockedModel | None = None
    files: tuple[str, ...] = ()
    quantization: str = ""
    variant: str = ""
    no_links: bool = False

    def globs_in(self, tree: RepoTree) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Globs that say what is wanted of a listing: `include` and `exclude`."""
        include, exclude = self.include, self.exclude
        paths = tuple(file.path for file in tree.files)
        if self.quantization:
            named = wanted_paths(paths, self.quantization)
            # No file has the empty path: without any of this quantisation, all of the model is not what was meant.
            include += tuple(map(literal, named)) or ("",)
        if self.variant:
            others = not_of_variant(paths, self.variant)
            exclude += ("*",) if others is None else tuple(map(literal, others))
        return include, exclude

    def select(self, tree: RepoTree) -> RepoTree:
        """The files of a listing that are wanted."""
        return tree.select(*self.globs_in(tree))


@dataclass(frozen=True, slots=True)
class PullRequest:
    """All models of a run, and what holds for each of them.

    `force` fetches and places again what is present; `offline` asks no server; `safe_only` refuses pickle weights.
    `policy` says how far a listing must be proven; `allow_rollback` accepts a commit older than the last one seen.
    `portable` refuses listings with names that some system cannot hold.
    `lock_name` is the lock file, as the user calls it, that `locked` items come from; with `make_lock` the report holds
    what a lock file says of each model. `is_closed`: another node of the fleet has just made that lock, and says
    whether its repos need a token; nobody is asked again. `for_others`: others will believe what is found here, so a
    repo of which nobody says that it is open counts as closed. `signatory` must have signed each model.
    `may_be_none`: globs that choose nothing are no error.
    """

    items: tuple[Item, ...]
    force: bool = False
    offline: bool = False
    safe_only: bool = False
    policy: Policy = Policy.AGREE
    allow_rollback: bool = False
    lock_name: str = ""
    make_lock: bool = False
    is_closed: bool | None = None
    for_others: bool = False
    portable: bool = False
    signatory: Signatory | None = None
    may_be_none: bool = False
