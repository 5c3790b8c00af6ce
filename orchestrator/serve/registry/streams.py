"""Changes as they come: server-sent events (HTML, section 9.2), one for each change, with its number as their id.

The first event, `ready`, has the number behind which the changes follow: the one that the client named, or the last.
"""

from __future__ import annotations

import time
from contextlib import aclosing

from orchestrator.core.refs import RepoId
from orchestrator.documents import encode
from orchestrator.registry.document import TrailEntry
from orchestrator.rights import Subject
from orchestrator.serve.http.answers import Answering
from orchestrator.serve.registry.following import Following

LIFE = 60.0
"""Seconds of a stream. Who listens on shows its token again: it may have been revoked."""
KEEP = 4.0
"""Seconds of silence after which a stream says that it lives."""
# A proxy in between passes each event on at once.
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStreams:
    """The streams of a server."""

    def __init__(self, following: Following) -> None:
        self._following = following

    async def send(self, who: Subject, model: RepoId | None, after: int | None, client: str, answer: Answering) -> None:
        """Send the changes of a model, or of all that somebody may read, behind the event of that number; without one,
        those that come. Raises Refused, and before the first event what `Registry` does."""
        with self._following.place_for(client):
            at = await self._following.begin(who, model, after)
            await answer.begin(200, _HEADERS)
            await answer.body(_event(at, "{}", "ready"))
            if answer.exchange.method == "GET":
                await self._send(who, model, at, answer)
            await answer.end()

    async def _send(self, who: Subject, model: RepoId | None, at: int, answer: Answering) -> None:
        until, silent_since = time.monotonic() + LIFE, time.monotonic()
        async with aclosing(self._following.changes(lambda: who, model, at)) as changes:
            async for news in changes:
                for event in news:
                    await answer.body(_event(event.number, encode(TrailEntry.of(event))))
                    silent_since = time.monotonic()
                if time.monotonic() - silent_since >= KEEP:
                    await answer.body(b":\n\n")
                    silent_since = time.monotonic()
                if time.monotonic() >= until:
                    return


def _event(number: int, data: str, name: str = "") -> bytes:
    named = f"event: {name}\n" if name else ""
    return f"id: {number}\n{named}data: {data.strip()}\n\n".encode()
