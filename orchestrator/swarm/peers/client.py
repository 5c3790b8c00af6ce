"""Questions to the server of a peer. Nothing here has a token of a Hub: what a peer is shown is a ticket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.core.files import Digest
from orchestrator.net.answers import Answer
from orchestrator.net.session import Limits, Net
from orchestrator.net.statuses import meaning
from orchestrator.proof.pieces import PIECE, Pieces, parse
from orchestrator.swarm.tickets import HAVE, LIFE, FleetKeys
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

    def news(self, address: str, after: int, epoch: int) -> NodeNews | None:
        """The news of a peer after a version of an epoch; None when there is nothing new within 5 s."""
        url = f"{address}/peer/v1/have?after={after}&epoch={epoch}&{self._ticket(HAVE)}"
        answer = self.net.ask(url)
        return None if answer.status == 304 else parse_news(_taken(answer))

    def whole(self, address: str, digests: Iterable[Digest]) -> WholeBlobs:
        """Those of these blobs, MOST_HOLDINGS at most, that the peer holds whole."""
        url = f"{address}/peer/v1/have?{self._ticket(HAVE)}"
        return parse_answer(_taken(self.net.ask(url, render_question(digests))))

    def pieces(self, address: str, digest: Digest, size: int) -> Pieces | None:
        """The proven hashes of a blob of this size at a peer; None where it has none that fit."""
        answer = self.net.ask(f"{address}/peer/v1/{digest}/pieces?{self._ticket(str(digest))}")
        if answer.status == 404:
            return None
        found = parse(_taken(answer))
        return found if found is not None and (found.size, found.piece) == (size, PIECE) else None

    def body(self, address: str, digest: Digest) -> tuple[str, float]:
        """The address of a blob's bytes, which is not to be shown, and the unix time when it ends."""
        return f"{address}/peer/v1/{digest}?{self._ticket(str(digest))}", self._now() + LIFE

    def _ticket(self, subject: str) -> str:
        return self._keys.ticket(subject, self.me, self._now())


def _taken(answer: Answer) -> bytes:
    if answer.status != 200:
        raise meaning(answer.status).error(f"{answer.host} answered HTTP {answer.status}", source=answer.host)
    return answer.body
