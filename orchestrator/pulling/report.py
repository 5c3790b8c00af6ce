"""Reports of a run; `pulling/document.py` turns them into text and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orchestrator.core.files import RepoFile
from orchestrator.core.sources import Sent, total
from orchestrator.core.trust import Trust
from orchestrator.errors import GlmAriaError, PartialError
from orchestrator.lists.lockfile import LockedModel


class FileState(StrEnum):
    """The final state of a file; the values are those of the JSON schema."""

    FETCHED = "fetched"
    ALREADY = "present"
    LINKED = "linked"
    LOST = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of a model. `sources` maps a mirror's name to the bytes that it sent for this file's blob."""

    file: RepoFile
    state: FileState
    sources: Sent = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model, or one file by its address: `ref` is what the user asked for.

    `commit`, `trust` and `snapshot` are None as far as the run did not get there; `error` says why. `lock` is what a
    lock file says of it from now on, where that was asked for. `version` and `signed_by` are those of `ResolvedModel`.
    """

    ref: str
    commit: str | None = None
    trust: Trust | None = None
    snapshot: Path | None = None
    local_dir: Path | None = None
    files: tuple[FileReport, ...] = ()
    seconds: float = 0.0
    error: GlmAriaError | None = None
    lock: LockedModel | None = None
    version: str | None = None
    signed_by: str | None = None

    def bytes_of(self, *states: FileState) -> int:
        """Bytes of the distinct blobs that ended in one of `states`."""
        return sum({item.file.digest: item.file.size for item in self.files if item.state in states}.values())

    @property
    def sent(self) -> Sent:
        """The bytes that each source sent in this run, also for files that are not whole."""
        # A blob under several names came once.
        return total({item.file.digest: item.sources for item in self.files}.values())

    def failure(self) -> GlmAriaError | None:
        """The error of the model, or of its failed files; None if it is done."""
        if self.error is not None:
            return self.error
        failed = [item.file.path for item in self.files if item.state is FileState.LOST]
        if not failed:
            return None
        return PartialError(
            f"{self.ref}: {len(failed)} file(s) failed", hint="run the same command again", file=failed[0]
        )


def failures_of(models: Iterable[ModelReport]) -> tuple[GlmAriaError, ...]:
    """The error of each failed model."""
    return tuple(error for model in models if (error := model.failure()) is not None)


@dataclass(frozen=True, slots=True)
class PullReport:
    """A whole run. `interrupted` is the signal number when the user stopped it."""

    models: tuple[ModelReport, ...]
    interrupted: int | None = None
