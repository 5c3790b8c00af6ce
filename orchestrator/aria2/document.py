"""Reports of the `daemon` commands, as the data of their JSON documents."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.documents import Count


@dataclass(frozen=True, slots=True)
class DaemonDocument:
    """State of the background aria2c: running or stopped, process and address."""

    running: bool
    pid: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class BusyDaemonDocument:
    """A background aria2c that runs: its version, its downloads, and bytes a second of all."""

    running: bool
    pid: int | None
    url: str | None
    aria2: str
    active: Count
    waiting: Count
    speed: Count
