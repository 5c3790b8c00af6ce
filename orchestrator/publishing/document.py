"""The report of `push`, as the data of its JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from orchestrator.documents import Count
from orchestrator.publishing.push import BlobFate, PushReport


@dataclass(frozen=True, slots=True)
class PushedEntry:
    """A file of the version: whether the registry had it, the bytes that were sent for it by this run, and before it by
    one that was stopped (`begun`), and the repository from which it was taken over."""

    path: str
    size: Count
    digest: str
    fate: BlobFate
    sent: Count
    mounted: str | None
    begun: Count


@dataclass(frozen=True, slots=True)
class PushDocument:
    """The data of `push`. `was_there`: the version was this one already; `sent` are the bytes that this run sent;
    `signed_by` is the file of the key."""

    name: str
    version: str
    digest: str
    commit: str
    alias: str | None
    signed_by: str | None
    was_there: bool
    is_dry_run: bool
    size: Count
    sent: Count
    files: tuple[PushedEntry, ...]

    @classmethod
    def of(cls, report: PushReport) -> Self:
        """The data of a push."""
        entries = tuple(
            PushedEntry(file.path, file.size, str(file.digest), file.fate, file.sent, file.mounted, file.begun)
            for file in report.files
        )
        return cls(
            name=report.name,
            version=report.version,
            digest=str(report.digest),
            commit=report.commit,
            alias=report.alias,
            signed_by=report.signed_by,
            was_there=report.was_there,
            is_dry_run=report.is_dry_run,
            size=sum(file.size for file in report.files),
            sent=report.sent,
            files=entries,
        )
