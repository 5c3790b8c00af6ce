"""The face for peers: addresses below `/peer/v1/`, for nodes that have the key of the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import ClassVar

from orchestrator.core.files import Digest
from orchestrator.errors import DiskIOError, ProtocolError
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.bodies import Bodies
from orchestrator.serve.http.headers import JSON
from orchestrator.serve.http.refusals import Refused, as_text, nothing_here, takes_only
from orchestrator.serve.pages.traffic import PEERS
from orchestrator.serve.peer.grammar import BELOW, parse, version_asked
from orchestrator.serve.peer.polls import Polls
from orchestrator.serve.peer.uploads import Uploads
from orchestrator.swarm.holdings import Holdings
from orchestrator.swarm.tickets import ABOUT, HAVE, PROOF, FleetKeys
from orchestrator.swarm.wire import About, WholeBlobs, parse_question, render_about, render_answer

_FRESH = {"Cache-Control": "no-store"}
_BINARY = {"Content-Type": "application/octet-stream"}


class PeerFace:
    """Answers nodes of the fleet, `me` among them, whom its door let in; with `keys` it proves to be one.

    `uploads` are bodies with bytes that are sent at once; `looking` are threads that look for what is held, `reading`
    those that read what is not in memory. For the thread of the event loop, but for `close`.
    """

    name: ClassVar[str] = PEERS

    def __init__(
        self, holdings: Holdings, me: About, keys: FleetKeys, *, uploads: int, looking: Executor, reading: Executor
    ) -> None:
        self._holdings = holdings
        self._me = me
        self._keys = keys
        self._looking = looking
        self._polls = Polls(holdings, me, looking)
        self._uploads = Uploads(holdings, uploads, looking=looking, reading=reading)
        self._bodies = Bodies()

    def takes(self, raw_path: bytes) -> bool:
        """See Face."""
        return raw_path.startswith(BELOW)

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        asked = parse(request.raw_path)
        if asked is None:
            raise nothing_here()
        is_question = asked.subject == HAVE and request.method == "POST"
        if not is_question and request.method not in ("GET", "HEAD"):
            raise takes_only("GET, HEAD, POST" if asked.subject == HAVE else "GET, HEAD")
        headers = _FRESH | {PROOF: self._keys.proof(request.query_string.decode("latin-1"))}
        try:
            if is_question:
                async with self._bodies.of(request.receive, caller.client) as body:
                    await answer.give(200, headers | JSON, await self._whole(body))
            elif asked.subject == HAVE:
                news = await self._polls.news(version_asked(request.query_string, self._me.epoch))
                await answer.give(304 if news is None else 200, headers | JSON, news or b"")
            elif asked.subject == ABOUT:
                await answer.give(200, headers | JSON, render_about(self._me))
            elif asked.digest is not None and asked.is_pieces:
                await answer.give(200, headers | _BINARY, await self._pieces(asked.digest))
            elif asked.digest is not None:
                await self._uploads.give(asked.digest, request.headers.get("range", ""), answer)
        except DiskIOError:  # its message names files
            raise Refused(503, "this node cannot read it now") from None

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face. A stranger gets no word."""
        return _FRESH, as_text(refused).encode()

    def close(self) -> None:
        """End what only waits, since this node leaves. For any thread."""
        self._polls.close()

    async def _whole(self, body: bytes) -> bytes:
        try:
            digests = parse_question(body)
        except ProtocolError as error:
            raise Refused(400, error.message) from None
        sizes = await asyncio.get_running_loop().run_in_executor(self._looking, self._holdings.whole, digests)
        return render_answer(WholeBlobs(self._me.node, self._me.epoch, sizes))

    async def _pieces(self, digest: Digest) -> bytes:
        found = await asyncio.get_running_loop().run_in_executor(self._looking, self._holdings.proven_pieces, digest)
        if found is None:
            raise Refused(404, "they are not proven here")
        return found
