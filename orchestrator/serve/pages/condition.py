"""The health of a server: whether it can do its work, and what is wrong if not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.core.sizes import format_size
from orchestrator.disk import space
from orchestrator.disk.atomic import drop, scratch
from orchestrator.errors import GlmAriaError
from orchestrator.system.failures import on_disk

_ROOT = "root"


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a server. `is_needed`: without it nothing new can be served, and the server is not ready."""

    name: str
    is_ok: bool
    is_needed: bool = True
    message: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """All checks, and the bytes of the cache's disk where it could be asked."""

    checks: tuple[Check, ...]
    free: int | None = None
    total: int | None = None

    @property
    def is_ready(self) -> bool:
        """True when nothing that is needed is broken. A root that is down is no reason: what is cached is served."""
        return all(check.is_ok or not check.is_needed for check in self.checks)

    def told(self, *, is_whole: bool) -> tuple[Check, ...]:
        """The checks for somebody who looks. What the root did not answer may be about a closed repo: without
        `is_whole` its words are left out."""
        if is_whole:
            return self.checks
        hidden = "no answer when it was asked last"
        return tuple(
            replace(check, message=hidden) if check.name == _ROOT and not check.is_ok else check
            for check in self.checks
        )


class Examination:
    """Examines a server. `stage` is the folder where files are written first, `fetches` says whether the depot lives,
    `root_error` why the root was not heard when it was asked last. Calls block."""

    def __init__(
        self, cache_dir: Path, stage: Path, *, fetches: Callable[[], bool], root_error: Callable[[], str | None]
    ) -> None:
        self._cache_dir = cache_dir
        self._stage = stage
        self._fetches = fetches
        self._root_error = root_error

    def __call__(self) -> Condition:
        """Look at everything."""
        free, total = self._disk()
        has_room = free is None or free >= space.RESERVE
        room = "" if has_room or free is None else f"{format_size(free)} are free; {format_size(space.RESERVE)} must be"
        error = self._root_error()
        depot = "" if self._fetches() else "nothing is fetched any more; restart the server"
        return Condition(
            (
                self._writable(),
                Check("depot", not depot, message=depot),
                Check("disk", has_room, message=room),
                Check(_ROOT, error is None, is_needed=False, message=error or ""),
            ),
            free,
            total,
        )

    def _disk(self) -> tuple[int | None, int | None]:
        with suppress(GlmAriaError, OSError):
            return space.space(self._cache_dir).free, shutil.disk_usage(self._cache_dir).total
        return None, None

    def _writable(self) -> Check:
        trial = scratch(self._stage)
        try:
            with on_disk("write", trial):
                trial.write_bytes(b"")
        except GlmAriaError as error:
            return Check("cache", is_ok=False, message=error.message)
        finally:
            drop(trial)
        return Check("cache", is_ok=True)
