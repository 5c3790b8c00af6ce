"""Models that must stay in the cache: `pins.json`, `{"version": 1, "pins": ["org/name", "org/name@revision"]}`.

A file that cannot be read is an error, never an empty list: nothing may be removed while nobody knows what is pinned.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.refs import Target, parse_target
from orchestrator.errors import DiskIOError
from orchestrator.oserrors import on_disk
from orchestrator.store.census import CachedRepo
from orchestrator.store.state_file import UNREADABLE, load_state, write_state
from orchestrator.system.locks import state_lock


class Pins:
    """The pins of one cache."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "pins.json"
        self._lock = state_dir / "pins.lock"
        self._stage = state_dir / "stage"

    def load(self) -> frozenset[Target]:
        """All pins. Raises DiskIOError for a file that cannot be read."""
        try:
            return frozenset(parse_target(text) for text in load_state(self._path)["pins"])
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except UNREADABLE as error:
            raise DiskIOError(
                f"the list of pinned models cannot be read ({error}); nothing is removed before it can",
                hint=f"mend or remove {self._path}",
                file=str(self._path),
            ) from error

    def add(self, targets: Iterable[Target]) -> None:
        """Pin these, too."""
        self._change(add=frozenset(targets))

    def remove(self, targets: Iterable[Target]) -> None:
        """Let go of these. Fine when they are not pinned."""
        self._change(remove=frozenset(targets))

    def _change(self, add: frozenset[Target] = frozenset(), remove: frozenset[Target] = frozenset()) -> None:
        with on_disk("write", self._path), state_lock(self._lock):
            texts = sorted(str(target) for target in (self.load() | add) - remove)
            write_state(self._path, self._stage, {"pins": texts})


def is_pinned(pins: Iterable[Target], repo: CachedRepo, commit: str) -> bool:
    """True when a revision is pinned: by the whole repo, by its commit, or by a ref that stands for it now."""
    return any(names(pin, repo, commit) for pin in pins)


def names(target: Target, repo: CachedRepo, commit: str) -> bool:
    """True when `target` means this revision."""
    if target.repo != repo.repo:
        return False
    return target.revision is None or commit in (target.revision, repo.refs.get(target.revision))
