"""The face of the registry: REST calls below `/registry/v1/`, and the token service of the OCI registry below."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar
from urllib.parse import parse_qs

from orchestrator.documents import encode
from orchestrator.errors import (
    CannotCreateError,
    ConfigError,
    ConflictError,
    DiskIOError,
    GateError,
    GlmAriaError,
    NotAllowedError,
    NotFoundError,
    UnsafeError,
    UsageError,
)
from orchestrator.lists.json_text import parse_json
from orchestrator.registry.document import TrailDocument
from orchestrator.registry.uploads import MOST_CHUNK
from orchestrator.rights import Subject
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.clients import client_of
from orchestrator.serve.http.addresses import parameters, segments
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.bodies import Bodies
from orchestrator.serve.http.headers import JSON
from orchestrator.serve.http.once import ClientTurns
from orchestrator.serve.http.refusals import Refused, as_text, nothing_here, refusal_of, takes_only, told
from orchestrator.serve.registry.calls import Calls, RegistryCall, whole_number
from orchestrator.serve.registry.routes import BELOW, ROUTES, RestRoute, match, openapi
from orchestrator.serve.registry.streams import EventStreams
from orchestrator.templating import render

_OURS = (b"/registry/",)
_DOCUMENT, _PAGE = f"{BELOW}/openapi.json".encode(), f"{BELOW}/".encode()
_OBJECT = JSON | {"Cache-Control": "no-store"}
_HTML = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_UNKNOWN = "this server does not know the token or password that was shown"
_MOST_BODY = 64 << 10
_TAG = re.compile(r'\s*"(sha256:[0-9a-f]{64})"\s*')
_STATUSES: Mapping[type[GlmAriaError], int] = {UsageError: 400, UnsafeError: 400, NotFoundError: 404, GateError: 422}

Issue = Callable[[Caller, Sequence[str]], str]
"""A token for somebody, of what these `scope` parameters ask for. Raises ValueError."""


class RegistryFace:
    """Answers the calls of ROUTES, and `/registry/token`. `asking` ask the registry below, which calls itself
    `service` to its clients; `issuing` make tokens, for which nobody waits behind a question. A token is valid for
    `life` seconds."""

    name: ClassVar[str] = "registry"

    def __init__(
        self,
        calls: Calls,
        streams: EventStreams,
        issue: Issue,
        *,
        service: str,
        life: int,
        asking: ClientTurns,
        issuing: ClientTurns,
    ) -> None:
        self._calls = calls
        self._streams = streams
        self._issue = issue
        self._service = service
        self._life = life
        self._asking = asking
        self._issuing = issuing
        self._bodies = Bodies()

    def takes(self, raw_path: bytes) -> bool:
        """See Face."""
        return raw_path.startswith(_OURS)

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        if request.headers.get("authorization") and not caller.name and not caller.is_admin:
            # An empty list would tell who has a wrong login that there is nothing.
            raise Refused(401, _UNKNOWN, headers={"WWW-Authenticate": "Bearer"})
        match request.raw_path:
            case b"/registry/token":
                await self._token(request, caller, answer)
            case path if path in (_DOCUMENT, _PAGE):
                if request.method not in ("GET", "HEAD"):
                    raise takes_only("GET, HEAD")
                described = openapi(request.link_base)
                if path == _DOCUMENT:
                    await answer.give(200, JSON, json.dumps(described).encode())
                else:
                    page = render("registry.html", routes=ROUTES, below=BELOW, base=request.link_base)
                    await answer.give(200, _HTML, page.encode())
            case _:
                await self._call(request, caller, answer)

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face."""
        return _OBJECT, _error(as_text(refused), refused.code or "refused")

    async def _call(self, request: Request, caller: Caller, answer: Answering) -> None:
        parts = segments(request.raw_path)
        if f"/{'/'.join(parts[:2])}" != BELOW:
            raise nothing_here()
        found = match(request.method, parts[2:])
        if isinstance(found, frozenset):
            raise takes_only(", ".join(sorted(found))) if found else nothing_here()
        route, named = found
        if route.gives is TrailDocument and "text/event-stream" in request.headers.get("accept", ""):
            await self._stream(route, RegistryCall(caller, named, parameters(request.query_string)), request, answer)
            return
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_content = kind in route.takes
        if route.takes and not route.body and not is_content:
            raise Refused(415, f"this address takes content of the type {' or '.join(route.takes)}")
        most = _MOST_BODY if not is_content else MOST_CHUNK
        async with self._bodies.of(request.receive, caller.client, most) as body:
            asked = RegistryCall(
                caller,
                named,
                parameters(request.query_string),
                {} if is_content else _fields(route, body),
                _expected(request.headers) if route.needs_condition else "",
                *((body, kind) if is_content else ()),
            )
            await self._answer(route, asked, caller.client, answer)

    async def _answer(self, route: RestRoute, asked: RegistryCall, client: str, answer: Answering) -> None:
        try:
            alone = asked.model if route.changes else None
            given = await self._asking.do(partial(self._calls.of(route.name), asked), client, alone=alone)
        except GlmAriaError as error:
            await _refuse(error, asked.who, route, answer)
            return
        tag = {"ETag": f'"{given.tag}"'} if given.tag else {}
        await answer.give(given.status or route.status, {**_OBJECT, **tag}, encode(given.document).encode())

    async def _stream(self, route: RestRoute, asked: RegistryCall, request: Request, answer: Answering) -> None:
        # A browser names the last event that it saw in a header, and leaves the address as it was.
        last = request.headers.get("last-event-id") or asked.query.get("after")
        try:
            after = None if last is None else whole_number("after", last)
            model = asked.model if asked.named else None
            await self._streams.send(asked.who, model, after, client_of(request.client), answer)
        except GlmAriaError as error:
            if answer.has_begun:
                raise
            await _refuse(error, asked.who, route, answer)

    async def _token(self, request: Request, caller: Caller, answer: Answering) -> None:
        if request.method != "GET":
            raise takes_only("GET")  # who would POST falls back to it
        try:
            query = parse_qs(request.query_string.decode("ascii"), max_num_fields=100)
        except ValueError:
            raise Refused(400, "the query cannot be read") from None
        service = query.get("service", [""])[0]
        if service != self._service:
            raise Refused(400, f"tokens are issued for the service {self._service!r} here, and not for {service!r}")
        try:
            token = await self._issuing.do(partial(self._issue, caller, query.get("scope", [])), caller.client)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        issued = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        given = {"token": token, "access_token": token, "expires_in": self._life, "issued_at": issued}
        await answer.give(200, _OBJECT, json.dumps(given).encode())


def status_of(error: GlmAriaError, who: Subject, *, is_conditional: bool = False) -> int:
    """The status for an error of the registry; `is_conditional`: the request named what it expects."""
    match error:
        case NotAllowedError() if error.source is None:  # else it is our own login at the registry below
            return 403 if who.name else 401
        case ConflictError():
            return 412 if is_conditional else 409
        case DiskIOError() | CannotCreateError() | ConfigError():
            return 500
    return _STATUSES.get(type(error)) or (502 if error.source else refusal_of(error).status)


async def _refuse(error: GlmAriaError, caller: Subject, route: RestRoute, answer: Answering) -> None:
    """Answer with an error of the registry, in its own words."""
    status, headers = status_of(error, caller, is_conditional=route.needs_condition), {}
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, ConflictError) and len(error.details) == 1:
        headers = {"ETag": f'"{error.details[0]}"'}
    # Advice of a kind is about a command, and not about a call; that about a disk is for who runs the server.
    hint = None if error.hint == error.usual_hint or status == 500 else error.hint
    await answer.give(status, {**_OBJECT, **headers}, _error(told(error), error.code, hint, error.details))


def _error(message: str, code: str, hint: str | None = None, details: Sequence[str] = ()) -> bytes:
    return json.dumps({"error": message, "code": code, "hint": hint, "details": list(details)}).encode()


def _fields(route: RestRoute, body: bytes) -> Mapping[str, str]:
    """The texts in the JSON object of a request. Raises Refused."""
    if not route.body:
        return {}
    try:
        found = parse_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in route.body):
        raise Refused(400, f"the body is no JSON object with the texts {', '.join(route.body)}")
    return {name: str(found[name]) for name in route.body}


def _expected(headers: Mapping[str, str]) -> str:
    """The digest for which an alias has to stand, by the conditions of a request; empty for none. Raises Refused."""
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if wanted is None and unwanted is None:
        raise Refused(428, 'say what the alias stands for now: If-Match: "sha256:…", or If-None-Match: * for nothing')
    if wanted is None:
        if (unwanted or "").strip() != "*":
            raise Refused(400, "If-None-Match takes only * here")
        return ""
    found = _TAG.fullmatch(wanted)
    if unwanted is not None or found is None:
        raise Refused(400, 'If-Match takes one digest in quotes: "sha256:…"')
    return found[1]
