"""The data of the JSON document of `serve`, printed when it has ended."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.documents import Count


@dataclass(frozen=True, slots=True)
class ServeDocument:
    """The address that was served, the requests that came, and the bytes of their answers' bodies."""

    url: str
    requests: Count
    bytes_sent: Count
