"""The report of `search`, as the data of its JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from orchestrator.catalogs.search.interface import Query, RepoAccess
from orchestrator.catalogs.search.search import Row
from orchestrator.core.refs import RepoType
from orchestrator.documents import Amount, Count


@dataclass(frozen=True, slots=True)
class QuantizationEntry:
    """A quantisation: `ref` is what to give to `pull`."""

    name: str
    ref: str
    size: Count | None


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """A repo. `ref` is what to give to `pull`, `elsewhere` are its refs at other kinds of site, `where` all the kinds.

    `size` are the bytes of the main branch. It is an estimate of the weights alone where `is_estimate`.
    """

    ref: str
    elsewhere: tuple[str, ...]
    where: tuple[str, ...]
    size: Count | None
    is_estimate: bool
    downloads: Count | None
    likes: Count | None
    updated: Amount | None
    access: RepoAccess
    task: str
    quantizations: tuple[QuantizationEntry, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        """The entry of a row."""
        hit = row.hit
        return cls(
            hit.ref,
            tuple(other.ref for other in row.others),
            tuple(one.kind.name for one in (hit, *row.others)),
            hit.size,
            hit.is_estimate,
            hit.downloads,
            hit.likes,
            hit.updated,
            hit.access,
            hit.task,
            tuple(QuantizationEntry(one.name, f"{hit.ref}:{one.name}", one.size) for one in hit.quantizations),
        )


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """The data of `search`."""

    words: str
    type: RepoType
    found: tuple[FoundEntry, ...]

    @classmethod
    def of(cls, query: Query, rows: Sequence[Row]) -> Self:
        """The data of what was found."""
        return cls(query.words, query.type, tuple(map(FoundEntry.of, rows)))
