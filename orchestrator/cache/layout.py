"""Paths and names in a Hugging Face cache, and of our state beside it. No I/O.

Follows huggingface_hub 2.4 (hub-docs `local-cache.md`):

    <cache_dir>/.locks/<folder>/<etag>.lock      <folder>/blobs/<etag>
    <folder>/snapshots/<commit>/<path>           <folder>/refs/<revision>      <folder>/trees/<commit>.json
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId, is_range
from orchestrator.platform.users import login_id

STATE_NAME = "glm-aria"
# What file managers, editors, NAS boxes and people leave in any folder: of Macs, Windows, Linux desktops, NAS boxes,
# network file systems, editors and Python. Where a listing is known it decides; where there is none, only names go that
# no repo has on purpose. Nothing is removed: such a stray is left out of what is listed, verified, linked and counted.
_JUNK = re.compile(
    r"""\.DS_Store | \._.* | \.AppleDouble | \.AppleDB | \.Spotlight-V100 | \.Trashes | \.fseventsd | \.apdisk
    | __MACOSX | Thumbs\.db | ehthumbs\.db | desktop\.ini | \$RECYCLE\.BIN | System\ Volume\ Information
    | \.directory | \.Trash-\d+ | lost\+found
    | @eaDir | \#recycle | \.snapshots? | \.zfs | \.nfs[0-9a-f]{8,} | \.fuse_hidden[0-9a-f]+
    | .*~ | \..*\.sw[a-p] | \#.*\# | \.\#.*
    | \.ipynb_checkpoints | __pycache__ | \.idea | \.vscode""",
    re.IGNORECASE | re.VERBOSE,
)
# What git-check-ref-format forbids in a part of a ref.
_NO_REF = re.compile(r"\..* | .*\.lock | .*(?:\.\.|@\{).* | .*[\x00-\x20\x7f~^:?*\[\\].* | .*\.", re.VERBOSE)


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The layout below one `cache_dir`, which is absolute and, as huggingface_hub does it, free of symlinks."""

    cache_dir: Path

    @classmethod
    def at(cls, cache_dir: Path) -> CacheLayout:
        """The layout of the cache at an absolute path: symlinks on the way are resolved."""
        return cls(Path(os.path.realpath(cache_dir)))

    def repo_dir(self, repo: RepoId) -> Path:
        """The repo's folder."""
        return self.cache_dir / repo.folder

    def blob(self, repo: RepoId, digest: Digest) -> Path:
        """The path of the blob."""
        return self.cache_dir / repo.folder / "blobs" / digest.hex

    def snapshot(self, repo: RepoId, commit: str) -> Path:
        """The folder that readers open: the repo's files at `commit`, as links to blobs."""
        return self.cache_dir / repo.folder / "snapshots" / commit

    def ref_file(self, repo: RepoId, revision: str) -> Path:
        """The file that holds the commit of a branch or tag; `refs/pr/1` lies at `refs/refs/pr/1`."""
        return self.cache_dir / repo.folder / "refs" / revision

    def tree_file(self, repo: RepoId, commit: str) -> Path:
        """The full listing of a commit."""
        return self.cache_dir / repo.folder / "trees" / f"{commit}.json"

    def lock_file(self, repo: RepoId, digest: Digest) -> Path:
        """The lock that huggingface_hub holds while it writes the blob."""
        return self.cache_dir / ".locks" / repo.folder / f"{digest.hex}.lock"

    @property
    def locks_dir(self) -> Path:
        """Holds all locks; the only folder of the cache that its scanner ignores."""
        return self.cache_dir / ".locks"

    @property
    def state_candidates(self) -> tuple[Path, ...]:
        """Candidates for our state folder, the best first; `state_dir.open_state_dir` takes the first that works.

        Beside the cache, so that a scan of the cache never meets it; below `.locks` where the place beside is on
        another volume or not ours; with the user's id where another user of a shared cache has that one too.
        """
        beside = STATE_NAME if self.cache_dir.name == "hub" else f"{self.cache_dir.name}.{STATE_NAME}"
        user = login_id()
        return (
            self.cache_dir.parent / beside,
            self.locks_dir / STATE_NAME,
            self.locks_dir / f"{STATE_NAME}-{user}",
        )


def is_junk(path: str) -> bool:
    """True when some part of a relative path is a name that programs leave everywhere."""
    return any(_JUNK.fullmatch(part) for part in path.split("/"))


def is_no_ref(path: str) -> bool:
    """True when a file in `refs/` cannot be a revision that a client asked for: it is junk, or git forbids the name,
    and it is no range of a registry's versions (`^1.2`), which hf keeps like a branch."""
    return is_junk(path) or any(_NO_REF.fullmatch(part) and not is_range(part) for part in path.split("/"))
