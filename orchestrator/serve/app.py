"""The faces as one ASGI application: each request goes through the door to the face that takes its address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from starlette.types import Receive, Scope, Send

from orchestrator.core.text import redacted
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.serve.access.door import Door
from orchestrator.serve.access.rights import Caller
from orchestrator.serve.http.answers import Answering, Counts, Request, gone
from orchestrator.serve.http.refusals import Refused, refusal_of


class Face(Protocol):
    """Answers requests in the words of one kind of clients. For the thread of the event loop."""

    def takes(self, raw_path: bytes) -> bool:
        """True when an address belongs to it."""

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """Give an answer. Raises Refused and GlmAriaError, for which `refusal` has the words."""

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """The headers and the body of a refusal."""


class Application:
    """Answers every request. `prefix` is the path below which a proxy, or a program of ours, asks.

    The first of the faces that takes an address answers; the last one takes all.
    """

    def __init__(self, door: Door, faces: Sequence[Face], *, prefix: str, emit: Emit) -> None:
        self._door = door
        self._faces = tuple(faces)
        self._prefix = prefix
        self._emit = emit
        self.counts = Counts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        self.counts.requests += 1
        answer = Answering(send, self.counts)
        working = asyncio.ensure_future(self._answer(Request.of(scope, self._prefix, receive), answer))
        if scope["method"] == "POST":
            await working
            return
        # Nothing else tells that a client has gone while it waits for bytes.
        leaving = asyncio.ensure_future(gone(receive))
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)

    async def _answer(self, request: Request, answer: Answering) -> None:
        face = next(face for face in self._faces if face.takes(request.raw_path))
        try:
            await face.reply(request, self._door.admit(request), answer)
        except Refused as refused:
            await _refuse(face, refused, answer)
        except GlmAriaError as error:
            await _refuse(face, refusal_of(error), answer)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the last place: a bug is told here, and the server lives on
            self._emit(Notice("request-failed", redacted(f"a request failed: {type(error).__name__}: {error}")))
            await _refuse(face, Refused(500, "this server failed; its output has more"), answer)


async def _refuse(face: Face, refused: Refused, answer: Answering) -> None:
    if not answer.has_begun:  # else it can only be broken off
        headers, body = face.refusal(refused)
        await answer.give(refused.status, {**headers, **refused.headers}, body)
