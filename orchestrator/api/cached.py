"""A look at what the cache, or a plain folder, has of a repo; no server is asked, and nothing is written.

Also what huggingface_hub put there is found: by its refs, links, and listings of commits.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.cache.inventory import read_ref
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.trees import listed
from orchestrator.core.files import selector
from orchestrator.core.refs import Ref, as_word, is_commit
from orchestrator.errors import IncompleteError, NotCachedError


def cached_snapshot(layout: CacheLayout, ref: Ref, include: tuple[str, ...], exclude: tuple[str, ...]) -> Path:
    """The snapshot of a ref. Raises NotCachedError; IncompleteError when the listing of the commit has wanted files
    that are not there."""
    commit = _commit(layout, ref)
    folder = layout.snapshot(ref.repo, commit) if commit else None
    if commit is None or folder is None or not folder.is_dir():
        raise _not_here(ref)
    is_wanted = selector(include, exclude)
    paths = listed(layout.tree_file(ref.repo, commit))
    missing = [path for path in paths if is_wanted(path) and not (folder / path).exists()]
    if missing:
        raise IncompleteError(
            f"{len(missing)} file(s) of {ref} are not in the cache, such as {missing[0]!r}, and no server may be asked",
            hint=f"run it once with a network: glm-aria pull {as_word(ref)}",
            file=missing[0],
        )
    return folder


def cached_file(layout: CacheLayout, ref: Ref, path: str) -> Path:
    """A file of a ref. Raises NotCachedError."""
    commit = _commit(layout, ref)
    found = layout.snapshot(ref.repo, commit) / path if commit else None
    if found is None or ".." in Path(path).parts or not found.is_file():
        raise _not_here(ref, path)
    return found


def folder_of_files(folder: Path) -> Path | None:
    """A plain folder that has something in it."""
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def _commit(layout: CacheLayout, ref: Ref) -> str | None:
    if ref.commit is not None:
        return ref.commit
    said = (read_ref(layout, ref.repo, ref.revision) or "").strip()
    return said if is_commit(said) else None


def _not_here(ref: Ref, path: str | None = None) -> NotCachedError:
    what = f"{path!r} of {ref}" if path else str(ref)
    return NotCachedError(
        f"{what} is not in the cache, and no server may be asked",
        hint=f"run it once with a network: glm-aria pull {as_word(ref)}",
        file=path,
    )
