"""The admin face: addresses below `/api/admin/`, for who has the right to command the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar

from orchestrator.lists.json_text import parse_json
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.http.answers import Answering, Request, gone
from orchestrator.serve.http.bodies import read_body
from orchestrator.serve.http.headers import JSON
from orchestrator.serve.http.refusals import Refused, as_text, takes_only

BELOW = b"/api/admin/"
_OBJECT = JSON | {"Cache-Control": "no-store"}
_LINES = {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}

Asked = Mapping[str, Any]
"""The JSON object that a request brought."""
Told = Mapping[str, Any]
"""The JSON object that a request gets, or one of those that it gets while something goes on."""
Call = Callable[[Asked, Caller], Awaitable[Told | AsyncIterator[Told]]]
"""Answers a request with a JSON object; or with one a line while something goes on, which ends when the client leaves.
Raises Refused and GlmAriaError."""


class AdminFace:
    """Answers each `GET` or `POST` of these names below `/api/admin/` with the result of its call."""

    name: ClassVar[str] = "admin"

    def __init__(self, *, gets: Mapping[str, Call], posts: Mapping[str, Call]) -> None:
        self._calls = {"GET": dict(gets), "POST": dict(posts)}

    def takes(self, raw_path: bytes) -> bool:
        """See Face."""
        return raw_path.startswith(BELOW)

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        if not caller.is_admin:
            raise caller.deny("this server obeys who started it, and admins, and does nothing")
        name = request.raw_path[len(BELOW) :].decode("ascii", "replace")
        call = self._calls.get(request.method, {}).get(name)
        if call is None:
            if allowed := ", ".join(method for method, calls in self._calls.items() if name in calls):
                raise takes_only(allowed)
            known = ", ".join(sorted(name for calls in self._calls.values() for name in calls))
            raise Refused(404, f"there is no such call; there are {known}")
        asked = _asked(await read_body(request.receive)) if request.method == "POST" else {}
        told = await call(asked, caller)
        if isinstance(told, AsyncIterator):
            await _pass_on(told, request, answer)
        else:
            await answer.give(200, _OBJECT, _body(told))

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face."""
        return _OBJECT, _body({"error": as_text(refused)})


async def _pass_on(told: AsyncIterator[Told], request: Request, answer: Answering) -> None:
    async def send() -> None:
        await answer.begin(200, _LINES)
        async for line in told:
            await answer.body(_body(line) + b"\n")
        await answer.end()

    sending = asyncio.ensure_future(send())
    leaving = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if not sending.done():
            sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending


def _body(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _asked(body: bytes) -> Asked:
    try:
        value = parse_json(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused(400, "the body is no JSON object")
    return value
