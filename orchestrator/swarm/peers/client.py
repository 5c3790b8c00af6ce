"""Questions to the server of a peer. Nothing here has a token of a Hub: what a peer is shown is a ticket.

An address may be anybody's: what is wanted is told to one that has proven to have the key, and only that is believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.core.files import Digest
from orchestrator.errors import NotAllowedError, NotFoundError
from orchestrator.net.answers import Answer
from orchestrator.net.session import Limits, Net
from orchestrator.net.statuses import meaning
from orchestrator.proof.pieces import PIECE, Pieces, parse
from orchestrator.swarm.tickets import ABOUT, HAVE, LIFE, PROOF, FleetKeys, authority
from orchestrator.swarm.wire import MOST_BYTES, NodeNews, WholeBlobs, parse_answer, parse_news, render_question

_LIMITS = Limits(connect=2, read=7, deadline=8, attempts=1, unreachable=1, body=MOST_BYTES)
"""A peer lets a question wait for 5 s. One that does not answer is asked again by the caller, not here."""


def peer_net(ca_bundle: Path | None = None) -> Net:
    """The way to peers: without a token, and through no proxy."""
    return Net(limits=_LIMITS, ca_bundle=ca_bundle)


class PeerClient:
    """Asks peers for the node of this name. Thread-safe. All raise TemporaryError, SourcesDownError, ProtocolError,
    NotAllowedError and NotFoundError."""

    def __init__(self, me: str, net: Net, keys: FleetKeys, now: Callable[[], float] = time.time) -> None:
        self.me = me
        self.net = net
        self._keys = keys
        self._now = now
        self._proven: set[str] = set()

    def news(self, address: str, after: int, epoch: int) -> NodeNews | None:
        """The news of a peer after a version of an epoch; None when there is nothing new within 5 s."""
        answer = self._ask(address, f"have?after={after}&epoch={epoch}&", HAVE)
        return None if answer.status == 304 else parse_news(answer.body)

    def whole(self, address: str, digests: Iterable[Digest]) -> WholeBlobs:
        """Those of these blobs, MOST_HOLDINGS at most, that the peer holds whole."""
        if address not in self._proven:
            self._ask(address, "about?", ABOUT)
        return parse_answer(self._ask(address, "have?", HAVE, render_question(digests)).body)

    def pieces(self, address: str, digest: Digest, size: int) -> Pieces | None:
        """The proven hashes of a blob of this size at a peer; None where it has none that fit."""
        try:
            answer = self._ask(address, f"{digest}/pieces?", str(digest))
        except NotFoundError:
            return None
        found = parse(answer.body)
        return found if found is not None and (found.size, found.piece) == (size, PIECE) else None

    def body(self, address: str, digest: Digest) -> tuple[str, float]:
        """The address of a blob's bytes, which is not to be shown, and the unix time when it ends."""
        return f"{address}/peer/v1/{digest}?{self._ticket(str(digest), address)}", self._now() + LIFE

    def _ticket(self, subject: str, address: str) -> str:
        return self._keys.ticket(subject, self.me, self._now(), authority(address))

    def _ask(self, address: str, question: str, subject: str, body: bytes | None = None) -> Answer:
        """The answer to a question, which ends where its ticket begins. Raises NotAllowedError where who answers has no
        key of the fleet."""
        ticket = self._ticket(subject, address)
        answer = self.net.ask(f"{address}/peer/v1/{question}{ticket}", body)
        if answer.status not in (200, 304):
            raise meaning(answer.status).error(f"{answer.host} answered HTTP {answer.status}", source=answer.host)
        if not self._keys.is_proof(ticket, answer.headers.get(PROOF, "")):
            raise NotAllowedError(f"{answer.host} has not the key of this fleet", source=answer.host)
        self._proven.add(address)
        return answer
