"""A process of a node, as far as Redis sees it."""

from __future__ import annotations

import os
import time

from orchestrator.cache.claims import Grant, Owners
from orchestrator.core.files import Digest
from orchestrator.events import Event, Notice
from orchestrator.shared.leases import Leases
from orchestrator.shared.redis import SharedRedis

LIFE = 0.6


class Node:
    """One with leases of its own; with `host` they are those of another machine."""

    def __init__(self, url: str, scope: str, life: float = LIFE, host: str = "") -> None:
        self.said: list[Event] = []
        self.line = SharedRedis(url, self.said.append, scope)
        self.leases = Leases(self.line, life=life)
        if host:
            self.leases.owner = f"{host} 1 1 {os.urandom(8).hex()}"

    def stand_still(self) -> None:
        """As a process that is stopped: nothing is renewed."""
        self.leases._ended.set()

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.said if isinstance(event, Notice)]


def until_granted(owners: Owners, digest: Digest, timeout_s: float = 10) -> Grant:
    deadline = time.monotonic() + timeout_s
    while (grant := owners.take(digest)) is Grant.NO:
        assert time.monotonic() < deadline, "the blob did not come free"
        time.sleep(0.02)
    return grant
