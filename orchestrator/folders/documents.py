"""Reports of `cache link` and `cache import`, as the data of their JSON documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from orchestrator.disk.copies import Mode
from orchestrator.documents import Count, DigestText, TrustEntry
from orchestrator.folders.link import LinkReport
from orchestrator.folders.take import Imported, ImportReport, ImportState


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file of the folder: its path in the repo, its place in the folder, and how it came there.

    `path` is empty for what the folder's program wants beside the files. `mode` is null for what a dry run would make.
    """

    path: str
    place: str
    size: Count
    digest: DigestText
    mode: Mode | None
    new: bool


@dataclass(frozen=True, slots=True)
class NotLinked:
    """A file of the model that the folder's program has no use for."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LinkDocument:
    """The data of `cache link`."""

    repo: str
    commit: str
    trust: TrustEntry | None
    layout: str
    folder: str
    because: str
    files: tuple[LinkedFile, ...]
    left_out: tuple[NotLinked, ...]
    commands: tuple[str, ...]
    dry_run: bool

    @classmethod
    def of(cls, report: LinkReport) -> Self:
        """The data of a folder that was made."""
        files = tuple(
            LinkedFile(piece.path, piece.place, piece.size, str(piece.digest), item.mode, item.is_new)
            for item in report.files
            for piece in (item.piece,)
        )
        return cls(
            repo=report.repo.url_path,
            commit=report.commit,
            trust=TrustEntry.of(report.trust) if report.trust else None,
            layout=report.layout,
            folder=str(report.folder.folder),
            because=report.folder.because,
            files=files,
            left_out=tuple(NotLinked(item.path, item.reason) for item in report.left_out),
            commands=report.commands,
            dry_run=report.is_dry,
        )


@dataclass(frozen=True, slots=True)
class WantedBy:
    """A file of a model that a file on disk is."""

    ref: str
    path: str


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file of the folder; `reason` says why it was not taken."""

    path: str
    size: Count
    state: ImportState
    digest: DigestText | None
    wanted: tuple[WantedBy, ...]
    mode: Mode | None
    reason: str | None

    @classmethod
    def of(cls, item: Imported) -> Self:
        """The entry of a file."""
        return cls(
            path=str(item.path),
            size=item.size,
            state=item.state,
            digest=str(item.digest) if item.digest else None,
            wanted=tuple(WantedBy(str(ref), path) for ref, path in item.wanted),
            mode=item.mode,
            reason=item.reason,
        )


@dataclass(frozen=True, slots=True)
class MissingOfModel:
    """The files that a model still lacks."""

    ref: str
    commit: str
    files_missing: Count
    bytes_missing: Count


@dataclass(frozen=True, slots=True)
class ImportDocument:
    """The data of `cache import`."""

    dry_run: bool
    folder: str
    because: str
    layout: str | None
    files: tuple[ImportedFile, ...]
    models: tuple[MissingOfModel, ...]
    bytes_imported: Count

    @classmethod
    def of(cls, report: ImportReport) -> Self:
        """The data of an import."""
        return cls(
            dry_run=report.is_dry,
            folder=str(report.folder.folder),
            because=report.folder.because,
            layout=report.layout,
            files=tuple(map(ImportedFile.of, report.files)),
            models=tuple(MissingOfModel(str(left.ref), left.commit, left.files, left.bytes) for left in report.models),
            bytes_imported=sum(item.size for item in report.files if item.state is ImportState.IMPORTED),
        )
