"""Reports of `pull` and `plan`, as the data of their JSON documents and of the text for people."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from orchestrator.core.plan import Action, ModelPlan, Plan
from orchestrator.core.sources import Sent, node_of, total
from orchestrator.documents import Amount, BytesBySource, Commit, Count, DigestText, ErrorCode, TrustEntry
from orchestrator.pulling.report import FileReport, FileState, ModelReport, PullReport

REUSED = (FileState.ALREADY, FileState.LINKED)
_HERE = (Action.KEEP, Action.CHECK)


@dataclass(frozen=True, slots=True)
class PulledFile:
    """A file of a model; `sources` are the bytes that each sent for it."""

    path: str
    size: Count
    digest: DigestText
    state: FileState
    sources: BytesBySource

    @classmethod
    def of(cls, item: FileReport) -> Self:
        """The entry of a file's report."""
        return cls(item.file.path, item.file.size, str(item.file.digest), item.state, dict(item.sources))


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A model; bytes are those of its distinct files. `bytes_from_peers` came from other machines of the fleet.

    `version` is what a registry calls the commit; `signed_by`, the key of --verify-signature that vouches for it.
    """

    ref: str
    version: str | None
    commit: Commit | None
    signed_by: str | None
    trust: TrustEntry | None
    snapshot: str | None
    local_dir: str | None
    files: tuple[PulledFile, ...]
    bytes_total: Count
    bytes_fetched: Count
    bytes_reused: Count
    bytes_from_peers: Count
    seconds: Amount
    error: ErrorCode | None

    @property
    def sent(self) -> Sent:
        """The bytes that came in this run, by source."""
        return _sent(self.files)

    @classmethod
    def of(cls, model: ModelReport) -> Self:
        """The entry of a model's report."""
        error = model.failure()
        files = tuple(map(PulledFile.of, model.files))
        return cls(
            ref=str(model.ref),
            version=model.version,
            commit=model.commit,
            signed_by=model.signed_by,
            trust=TrustEntry.of(model.trust) if model.trust else None,
            snapshot=str(model.snapshot) if model.snapshot else None,
            local_dir=str(model.local_dir) if model.local_dir else None,
            files=files,
            bytes_total=model.bytes_of(*FileState),
            bytes_fetched=model.bytes_of(FileState.FETCHED),
            bytes_reused=model.bytes_of(*REUSED),
            bytes_from_peers=sum(count for name, count in _sent(files).items() if node_of(name)),
            seconds=round(model.seconds, 3),
            error=error.code if error else None,
        )


def _sent(files: Sequence[PulledFile]) -> Sent:
    """A blob that is in a model under several names came once."""
    return total({item.digest: item.sources for item in files}.values())


@dataclass(frozen=True, slots=True)
class PullDocument:
    """The data of `pull`."""

    models: tuple[PulledModel, ...]

    @classmethod
    def of(cls, report: PullReport) -> Self:
        """The data of a run."""
        return cls(tuple(map(PulledModel.of, report.models)))


@dataclass(frozen=True, slots=True)
class FileToPull:
    """A file of a model, and what a pull would do about it."""

    path: str
    size: Count
    digest: DigestText
    action: Action


@dataclass(frozen=True, slots=True)
class FolderToPull:
    """A folder of a model with all that is below it; `.` is the model. Bytes are those of its distinct files."""

    path: str
    files: Count
    bytes_total: Count
    bytes_to_fetch: Count

    @classmethod
    def all_of(cls, files: Sequence[FileToPull]) -> tuple[Self, ...]:
        """The folders of these files in the order of their paths, the model last."""
        below: dict[str, list[FileToPull]] = {"": []}
        for item in files:
            folder = item.path
            while folder:
                folder = folder.rpartition("/")[0]
                below.setdefault(folder, []).append(item)
        return tuple(
            cls._of(path, below[path]) for path in (*sorted(filter(None, below), key=lambda path: path.split("/")), "")
        )

    @classmethod
    def _of(cls, path: str, files: Sequence[FileToPull]) -> Self:
        distinct = {item.digest: item for item in files}.values()
        fetched = sum(item.size for item in distinct if item.action is Action.FETCH)
        return cls(path or ".", len(files), sum(item.size for item in distinct), fetched)


@dataclass(frozen=True, slots=True)
class ModelToPull:
    """A model that would be pulled; one that could not be planned has no files. `version` and `signed_by` are those of
    `PulledModel`."""

    ref: str
    commit: Commit | None
    trust: TrustEntry | None
    version: str | None = None
    signed_by: str | None = None
    files: tuple[FileToPull, ...] = ()
    folders: tuple[FolderToPull, ...] = ()
    bytes_total: Count = 0
    bytes_to_fetch: Count = 0
    bytes_present: Count = 0
    bytes_linked: Count = 0

    @classmethod
    def of(cls, plan: ModelPlan) -> Self:
        """The entry of a model's plan."""
        model = plan.model
        files = tuple(
            FileToPull(item.file.path, item.file.size, str(item.file.digest), item.action) for item in plan.files
        )
        return cls(
            ref=str(model.ref),
            commit=model.commit,
            trust=TrustEntry.of(model.trust),
            version=model.version,
            signed_by=model.signed_by,
            files=files,
            folders=FolderToPull.all_of(files),
            bytes_total=plan.bytes_of(*Action),
            bytes_to_fetch=plan.bytes_of(Action.FETCH),
            bytes_present=plan.bytes_of(*_HERE),
            bytes_linked=plan.bytes_of(Action.LINK),
        )


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """The file system that the cache is on, or would be: the folder that tells, and whether the plan fits."""

    path: str
    bytes_free: Count
    fits: bool

    @classmethod
    def for_bytes(cls, wanted: int, cache_dir: Path) -> Self | None:
        """Ask the nearest folder that exists; None when the system does not say."""
        for folder in (cache_dir, *cache_dir.parents):
            try:
                free = shutil.disk_usage(folder).free
            except OSError:
                continue
            return cls(str(folder), free, free >= wanted)
        return None


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """The data of `plan`."""

    models: tuple[ModelToPull, ...]
    files_to_fetch: Count
    bytes_to_fetch: Count
    disk: DiskRoom | None

    @classmethod
    def of(cls, plan: Plan, failed: Sequence[ModelReport], disk: DiskRoom | None) -> Self:
        """The data of a plan, and of the models that could not be planned."""
        unplanned = (ModelToPull(str(report.ref), report.commit, None) for report in failed)
        return cls((*map(ModelToPull.of, plan.models), *unplanned), len(plan.jobs), plan.bytes_to_fetch, disk)
