"""Rights in a fleet: who may be a node, have models fetched, look, or command.

All who have the key of the fleet may do everything: a node needs it for its peers anyway, and proves it by a ticket, so
that the key stays on the machine. Others show a token, which has some of the rights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import NotAllowedError
from orchestrator.swarm.tickets import FleetKeys

CONTROL = "control"
"""The subject of a ticket for a scheduler."""
HEADER = "authorization"
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


def ticket_header(keys: FleetKeys, node: str) -> str:
    """The header by which a node shows that it has the key."""
    return f"Fleet {keys.ticket(CONTROL, node, time.time())}"


def token_header(token: str) -> str:
    """The header with a token."""
    return f"Bearer {token}"
