"""Refs as names below `refs/`, where `feature` and `feature/x` cannot both be: the one is a file, the other its folder.

git has the same rule for a repository as it is. A cache also holds branches that the repository no longer has.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.cache.layout import CacheLayout
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import RepoId, Target, as_word
from orchestrator.disk.room import look_at
from orchestrator.errors import CannotCreateError


class RefNames:
    """The refs that a run makes in a cache, beside those that are there."""

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
                f"the cache has the ref {other!r} of {repo.url_path}, and beside it none can be called {revision!r}; "
                "nothing was fetched",
                hint=f"pull the commit: glm-aria pull {repo.url_path}@{model.commit}; "
                f"or if {other!r} is no more needed: glm-aria cache rm {as_word(Target(repo, other))}",
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
        below = next((Path(folder, names[0]) for folder, _, names in os.walk(at) if names), None)
        return below.relative_to(refs).as_posix() if below else None


def _exclude(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") != f"{other}/".startswith(f"{one}/")
