"""The data of the JSON documents of `serve` and its commands."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.documents import Count


@dataclass(frozen=True, slots=True)
class ServeDocument:
    """The address that was served, the requests that came, and the bytes of their answers' bodies: those for clients,
    and those for other nodes of the fleet."""

    url: str
    requests: Count
    bytes_sent: Count
    bytes_sent_to_peers: Count


@dataclass(frozen=True, slots=True)
class PrefetchedModel:
    """A model that a server was told to fetch, as it was when that ended. `failed` says for each file why not."""

    ref: str
    commit: str
    files: Count
    files_done: Count
    bytes_total: Count
    bytes_done: Count
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrefetchDocument:
    """The models of `serve prefetch`, and the server that has them."""

    server: str
    models: tuple[PrefetchedModel, ...]


@dataclass(frozen=True, slots=True)
class EvictDocument:
    """The model that `serve evict` had a server remove, and the bytes that this freed."""

    server: str
    target: str
    bytes_freed: Count
