"""Queries, what sites find, and the port that every kind of site implements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestrator.core.dialects import DEFAULT, Dialect
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source


class SearchOrder(StrEnum):
    """The order of what is found, the most or the newest first."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    UPDATED = "updated"


class RepoAccess(StrEnum):
    """The readers of the files of a repo: all, those who accepted its licence, or those whom its owner lets."""

    OPEN = "open"
    GATED = "gated"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Query:
    """Words that names shall hold, the type of repo, and how many are wanted at most. `gguf`: only models in GGUF."""

    words: str
    type: RepoType = RepoType.MODEL
    order: SearchOrder = SearchOrder.DOWNLOADS
    limit: int = 20
    gguf: bool = False


@dataclass(frozen=True, slots=True)
class Quantization:
    """A model in GGUF of a repo, by the name behind the colon of a REF; bytes of all its shards, None if not known."""

    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A repo that a site found; None and "" for what it does not tell.

    `size` are the bytes of its main branch; an estimate counts the weights alone. `downloads` are those of 30 days at a
    Hub and all at ModelScope. `updated` is in unix seconds.
    """

    repo: RepoId
    kind: Dialect
    size: int | None = None
    is_estimate: bool = False
    downloads: int | None = None
    likes: int | None = None
    updated: float | None = None
    access: RepoAccess = RepoAccess.OPEN
    task: str = ""
    quantizations: tuple[Quantization, ...] = ()

    @property
    def ref(self) -> str:
        """The REF that `pull` takes."""
        return f"{'' if self.kind is DEFAULT else f'{self.kind.scheme}://'}{self.repo.url_path}"


class Searcher(Protocol):
    """One site that is asked. Reads only, so every call may be repeated.

    Both raise NotAllowedError where it wants to know who asks, SourcesDownError and TemporaryError when it cannot be
    asked (after retries), and ProtocolError for an answer that is none.
    """

    @property
    def source(self) -> Source:
        """The site."""

    def find(self, query: Query) -> tuple[Hit, ...]:
        """Find repos, in the order of the query, with one request."""

    def measure(self, hit: Hit) -> Hit:
        """Look up the exact size of a hit, with at most one request; the same hit where the site tells no more."""
