"""The report of `export`, as the data of its JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from orchestrator.documents import Count, TrustEntry
from orchestrator.exports.export import ExportKind, ExportReport


@dataclass(frozen=True, slots=True)
class ExportDocument:
    """The data of `export`. `addresses` are the web seeds of a torrent, or the addresses that a Metalink has for each
    file; `info_hash` names the swarm of a torrent."""

    repo: str
    commit: str
    trust: TrustEntry | None
    kind: ExportKind
    path: str
    files: Count
    size: Count
    addresses: Count
    info_hash: str | None

    @classmethod
    def of(cls, report: ExportReport) -> Self:
        """The data of a description that was written."""
        return cls(
            repo=report.repo.url_path,
            commit=report.commit,
            trust=TrustEntry.of(report.trust) if report.trust else None,
            kind=report.kind,
            path=str(report.path),
            files=report.files,
            size=report.size,
            addresses=report.addresses,
            info_hash=report.info_hash,
        )
