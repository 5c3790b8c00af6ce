"""Uploads that were begun, so that the next push goes on with them: their addresses, in a folder of state.

An address of a registry is a right to add bytes to one upload, so the file is its user's alone. What is lost of it
costs bytes that are sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.system.failures import on_disk

_NAME = "uploads"
_KEPT = 7 * 86400.0
"""Seconds: docker-registry removes uploads that nobody ended after a week."""


class BegunUploads:
    """The begun uploads of one folder of state. Thread-safe; any number of processes may use it."""

    def __init__(self, folder: Path, stage: Path, now: Callable[[], float] = time.time) -> None:
        self._path = folder / f"{_NAME}.json"
        self._lock = folder / f"{_NAME}.lock"
        self._stage = stage
        self._now = now

    def of(self, repository: Repository, digest: Digest) -> str | None:
        """The address at which the upload of a blob goes on; None when none was begun."""
        found = self._read().get(_key(repository, digest))
        return found[0] if found else None

    def note(self, repository: Repository, digest: Digest, url: str | None) -> None:
        """Keep the address of an upload; None forgets it. Raises per `system.failures`."""
        with on_disk("lock", self._lock), state_lock(self._lock):
            known = self._read()
            before = dict(known)
            known.pop(_key(repository, digest), None)
            if url is not None:
                known[_key(repository, digest)] = (url, self._now())
            if known.keys() != before.keys() or url is not None:
                write_state(self._path, self._stage, {"uploads": known}, durable=False)

    def _read(self) -> dict[str, tuple[str, float]]:
        oldest = self._now() - _KEPT
        found = read_state(self._path, _parsed) or {}
        return {key: entry for key, entry in found.items() if entry[1] >= oldest}


def _key(repository: Repository, digest: Digest) -> str:
    return f"{repository.url} {digest}"


def _parsed(data: dict[str, Any]) -> dict[str, tuple[str, float]]:
    return {str(key): (str(url), float(since)) for key, (url, since) in data["uploads"].items()}
