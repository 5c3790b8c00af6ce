"""Rights in a fleet: who may be a node, have models fetched, look, or command, and whose locks are believed.

All who have the key of the fleet may do everything: a node needs it for its peers anyway, and proves it by a ticket, so
that the key stays on the machine. Others show a token, which has some of the rights, and never that to submit: who
gives the lock of a task decides what all nodes of it place, and whether they share it. So who resolved the models seals
the lock with the key. The seal goes with it through schedulers and their board, and each node looks at the seal before
it believes a word of the lock.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.errors import NotAllowedError
from orchestrator.swarm.control.messages import Submission, TaskLock, task_of
from orchestrator.swarm.tickets import FleetKeys

CONTROL = "control"
"""The subject of a ticket for a scheduler."""
HEADER = "authorization"
_LOCK = "lock"
"""The kind of the seal of a lock."""
_TICKET, _TOKEN = "fleet ", "bearer "


class FleetRight(StrEnum):
    """Something that a caller may do. NODE: fetch for others, and learn of peers."""

    NODE = "node"
    SUBMIT = "submit"
    VIEW = "view"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class FleetCaller:
    """One who calls a scheduler; a node calls by its own `name`."""

    name: str
    rights: frozenset[FleetRight]

    def require(self, right: FleetRight) -> None:
        """Raise NotAllowedError for a right that the caller does not have."""
        if right not in self.rights:
            raise NotAllowedError(
                f"the token {self.name!r} has not the right to {right.value} in this fleet",
                hint="use the key of the fleet, or a token of another role",
            )


KnowToken = Callable[[str, str], FleetCaller | None]
"""The caller of a token that came from an address; None for one that is not known."""


class FleetDoor:
    """Tells who calls, by the headers of a call. `know` has the tokens, where there are any."""

    def __init__(self, keys: FleetKeys, know: KnowToken = lambda *_: None) -> None:
        self._keys = keys
        self._know = know

    def admit(self, headers: Mapping[str, str], address: str) -> FleetCaller:
        """The caller. Raises NotAllowedError for who shows nothing, or nothing that holds."""
        shown = headers.get(HEADER, "")
        kind = shown.partition(" ")[0].lower() + " "
        caller = None
        if kind == _TICKET:
            node = self._keys.node_of(CONTROL, shown[len(kind) :], time.time())
            caller = FleetCaller(node, frozenset(FleetRight)) if node is not None else None
        elif kind == _TOKEN:
            caller = self._know(shown[len(kind) :].strip(), address)
        if caller is None:
            raise NotAllowedError(
                "this scheduler does not know you: another key of the fleet, a clock that is wrong by minutes, or no "
                "token of this scheduler",
                hint="give each machine the same key: glm-aria fleet key --help",
            )
        return caller

    def require_seal(self, asked: Submission) -> None:
        """Raise NotAllowedError for a lock that nobody with a key of the fleet made for this task."""
        if asked.lock and not is_sealed(self._keys, asked):
            raise NotAllowedError(
                "the lock of this task has no seal made with the key of this fleet, so no node would believe it",
                hint="submit it with glm-aria fleet submit, on a machine that has the key",
            )


def ticket_header(keys: FleetKeys, node: str) -> str:
    """The header by which a node shows that it has the key."""
    return f"Fleet {keys.ticket(CONTROL, node, time.time())}"


def token_header(token: str) -> str:
    """The header with a token."""
    return f"Bearer {token}"


def sealed(keys: FleetKeys, asked: Submission) -> Submission:
    """A submission of a lock that was made, or confirmed, here."""
    return replace(asked, seal=keys.seal(_LOCK, _content(task_of(asked.key), asked)))


def is_sealed(keys: FleetKeys, said: Submission | TaskLock) -> bool:
    """True for a lock that somebody with a key of the fleet made for this very task."""
    task = said.task if isinstance(said, TaskLock) else task_of(said.key)
    return keys.is_seal(_LOCK, _content(task, said), said.seal)


def _content(task: str, said: Submission | TaskLock) -> bytes:
    lock = hashlib.sha256(said.lock.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{said.is_restricted:d}|{lock}|{task}".encode("utf-8", "surrogatepass")
