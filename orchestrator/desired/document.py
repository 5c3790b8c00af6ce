"""The data of the JSON documents of `fleet status`, `fleet wait` and `state`."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.desired.status import SetStatus
from orchestrator.documents import Amount, Count


@dataclass(frozen=True, slots=True)
class NodeStatusEntry:
    """A place that was asked: the status of a set there, or why there is none. `silent` are the seconds since the last
    word of a follower that should have said more: it does not run, or cannot write."""

    place: str
    is_ready: bool
    error: str | None
    silent: Amount | None
    status: SetStatus | None


@dataclass(frozen=True, slots=True)
class SetStatusesDocument:
    """The data of `fleet status` and `fleet wait`."""

    ready: Count
    nodes: tuple[NodeStatusEntry, ...]


@dataclass(frozen=True, slots=True)
class SetDigestDocument:
    """The data of `state digest`."""

    digest: str


@dataclass(frozen=True, slots=True)
class CarriedSetDocument:
    """The data of `state export` and `state import`: `manifest` is the digest of the archive, `fetched` are the bytes
    that came out of one."""

    set: str
    digest: str
    manifest: str | None
    path: str
    models: Count
    files: Count
    bytes: Count
    fetched: Count
