"""The faces as one ASGI application: each request goes through the door to the face that takes its address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from starlette.types import Receive, Scope, Send

from orchestrator.core.text import redacted
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.http.answers import Answering, Request, gone
from orchestrator.serve.http.exchange import Exchange, Observer, observed
from orchestrator.serve.http.kernel import send_file_in
from orchestrator.serve.http.proxies import TrustedProxies
from orchestrator.serve.http.refusals import Refused, refusal_of


class Face(Protocol):
    """Answers requests in the words of one kind of clients. For the thread of the event loop."""

    name: ClassVar[str]

    def takes(self, raw_path: bytes) -> bool:
        """True when an address belongs to it."""

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """Give an answer. Raises Refused and GlmAriaError, for which `refusal` has the words."""

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """The headers and the body of a refusal."""


class Gate(Protocol):
    """Decides who may ask. For the thread of the event loop."""

    def admit(self, request: Request) -> Caller:
        """Tell the caller of a request. Raises Refused."""

    def within(self, caller: Caller) -> AbstractContextManager[Callable[[int], float]]:
        """The time of one request, within the limits of the caller: see `Clients.asking`."""


class Application:
    """Answers every request. `prefix` is the path below which a proxy, or a program of ours, asks; `proxies` are those
    that are believed.

    The first of the faces that takes an address answers, or the last one. Who asks comes in by the door, or by the one
    that `doors` has for the name of a face. The observers see each request.
    """

    def __init__(
        self,
        door: Gate,
        faces: Sequence[Face],
        observers: Sequence[Observer],
        *,
        doors: Mapping[str, Gate] | None = None,
        prefix: str,
        proxies: TrustedProxies,
        emit: Emit,
    ) -> None:
        self._door = door
        self._doors = dict(doors or {})
        self._faces = tuple(faces)
        self._observers = tuple(observers)
        self._prefix = prefix
        self._proxies = proxies
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        request = Request.of(scope, self._prefix, receive, self._proxies)
        face = next((face for face in self._faces if face.takes(request.raw_path)), self._faces[-1])
        exchange = Exchange(request.client, request.method, request.raw_path, face.name)
        with observed(exchange, self._observers):
            await self._work(request, face, Answering(send, exchange, send_file_in(scope)))

    async def _work(self, request: Request, face: Face, answer: Answering) -> None:
        working = asyncio.ensure_future(self._answer(request, face, answer))
        if request.method in ("POST", "PUT"):
            await working
            return
        # Nothing else tells that a client has gone while it waits for bytes.
        leaving = asyncio.ensure_future(gone(request.receive))
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)

    async def _answer(self, request: Request, face: Face, answer: Answering) -> None:
        door = self._doors.get(face.name, self._door)
        try:
            caller = door.admit(request)
            answer.exchange.caller = caller.name
            with door.within(caller) as answer.pace:
                await face.reply(request, caller, answer)
        except Refused as refused:
            await _refuse(face, refused, answer)
        except GlmAriaError as error:
            await _refuse(face, refusal_of(error), answer)
        except (asyncio.CancelledError, ConnectionAbortedError):
            raise
        except Exception as error:  # noqa: BLE001 - the last place: a bug is told here, and the server lives on
            self._emit(Notice("request-failed", redacted(f"a request failed: {type(error).__name__}: {error}")))
            await _refuse(face, Refused(500, "this server failed; its output has more"), answer)


async def _refuse(face: Face, refused: Refused, answer: Answering) -> None:
    if not answer.has_begun:  # else it can only be broken off
        headers, body = face.refusal(refused)
        await answer.give(refused.status, {**headers, **refused.headers}, body)
