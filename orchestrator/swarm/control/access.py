"""Rights in a fleet: who may be a node, have models fetched, look, or command; and whose words and locks are believed.

All who have the key of the fleet may do everything: a node needs it for its peers anyway, and proves it by a ticket, so
that the key stays on the machine. Others show a token, which has some of the rights, and never that to submit: who
gives the lock of a task decides what all nodes of it place, and whether they share it. So who resolved the models seals
the lock with the key. The seal goes with it through schedulers and their board, and each node looks at the seal before
it believes a word of the lock.

A ticket says which scheduler is asked, as the client spells its `HOST:PORT`, and has a number that is used once. So who
only pretends to be a scheduler can show it to no real one; and the scheduler proves by its answer to just this ticket
that it has the key. A token proves nothing of whom it is shown to: that is left to TLS.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from urllib.parse import unquote

from orchestrator.core.addresses import is_this_machine, parse_place
from orchestrator.errors import NotAllowedError, UsageError
from orchestrator.swarm.control.messages import Submission, TaskLock, task_of
from orchestrator.swarm.names import is_own_address, is_own_name
from orchestrator.swarm.tickets import FleetKeys

HEADER = "authorization"
PROOF = "x-fleet-proof"
"""The header before an answer with the proof that a scheduler has the key."""
_LOCK = "lock"
"""The kind of the seal of a lock."""
_TICKET, _TOKEN = "fleet ", "bearer "
_SHOWN = re.compile(r"a=([^&=]{1,300})&r=([A-Za-z0-9_-]{22})&n=[^&=]*&e=[^&=]*&t=[^&=]*")
_NONCE = 16
"""Bytes of the number that is used once."""
_FROM_HERE = ("ipv4:127.", "ipv6:[::1]:", "ipv6:[::ffff:127.")


class FleetRight(StrEnum):
    """Something that a caller may do. NODE: fetch for others, and learn of peers."""

    NODE = "node"
    SUBMIT = "submit"
    VIEW = "view"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class FleetCaller:
    """One who calls a scheduler; a node calls by its own `name`. `proof` is what is answered; to a token it is none."""

    name: str
    rights: frozenset[FleetRight]
    proof: str = "none"

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
    """Tells who calls, by the headers of a call. `know` has the tokens, where there are any.

    A scheduler is called by an address or the name of its machine with the `port` that it listens at, or by one of
    `hosts` (behind a network address translation), whatever the port.
    """

    def __init__(self, keys: FleetKeys, know: KnowToken = lambda *_: None, hosts: Iterable[str] = ()) -> None:
        self._keys = keys
        self._know = know
        self._hosts = frozenset(host.lower() for host in hosts)
        self.port = 0

    def admit(self, headers: Mapping[str, str], address: str) -> FleetCaller:
        """The caller; `address` is what gRPC calls a peer. Raises NotAllowedError for who shows nothing, or nothing
        that holds here."""
        shown = headers.get(HEADER, "")
        kind = shown.partition(" ")[0].lower() + " "
        caller = None
        if kind == _TICKET:
            caller = self._by_ticket(shown[len(kind) :], address)
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

    def _by_ticket(self, ticket: str, address: str) -> FleetCaller | None:
        found = _SHOWN.fullmatch(ticket)
        if found is None:
            return None
        called, nonce = found.groups()
        node = self._keys.node_of(_subject(nonce), ticket, time.time(), called)
        if node is None or not self._is_ours(called, address):
            return None
        return FleetCaller(node, frozenset(FleetRight), self._keys.proof(ticket))

    def _is_ours(self, called: str, address: str) -> bool:
        """True when the place by which a caller called leads to no other scheduler."""
        try:
            place = parse_place(called)
        except ValueError:
            return False
        host = place.host.lower()
        if host in self._hosts:
            return True
        if is_this_machine(host):
            return place.port == self.port and unquote(address).startswith(_FROM_HERE)
        return place.port == self.port and (is_own_name(host) or is_own_address(host))


@dataclass(frozen=True, slots=True)
class Introduction:
    """A header for one call, and the test whether a scheduler's answer to it is that of one who has the key; any
    answer is, where we have none ourselves."""

    header: str
    is_of_key: bool
    is_proven: Callable[[str], bool]


ShowTo = Callable[[str], Introduction]
"""What to show to the scheduler at a place (`HOST:PORT`): another one for each call."""


def with_key(keys: FleetKeys, node: str) -> ShowTo:
    """Show that we have the key, as this node."""

    def show(place: str) -> Introduction:
        called, nonce = place.lower(), secrets.token_urlsafe(_NONCE)
        ticket = f"a={called}&r={nonce}&{keys.ticket(_subject(nonce), node, time.time(), called)}"
        return Introduction(f"Fleet {ticket}", True, partial(keys.is_proof, ticket))

    return show


def with_token(token: str, *, is_encrypted: bool) -> ShowTo:
    """Show a token. Raises UsageError where it would go over a network in clear."""

    def show(place: str) -> Introduction:
        if not is_encrypted and not is_this_machine(parse_place(place).host):
            raise UsageError(
                f"the token of the fleet is not sent to {place}: who is on the way would read it",
                hint="use TLS: set fleet.authority here, and fleet.certificate at the scheduler; or use the key of the "
                "fleet, which is never sent",
            )
        return Introduction(f"Bearer {token}", False, lambda _: True)

    return show


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


def _subject(nonce: str) -> str:
    return f"control/{nonce}"
