"""The Hub face as an ASGI application: from requests to the library, and from its errors to the Hub's codes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orchestrator.core.files import RepoFile
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.core.refs import Ref
from orchestrator.core.text import redacted
from orchestrator.errors import (
    GlmAriaError,
    NoSpaceError,
    NotAllowedError,
    NotFoundError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.events import Emit, Notice
from orchestrator.serve import listing
from orchestrator.serve.arrivals import Arrivals, Once
from orchestrator.serve.clients import Manner, manner_of
from orchestrator.serve.handed import Handed
from orchestrator.serve.hub import AboutRepo, FileBytes, Passed, PathsInfo, Refused, TreePage, TreeSize, WhoAmI, parse
from orchestrator.serve.library import Library, Shelved
from orchestrator.serve.ranges import Excerpt, excerpt, is_known
from orchestrator.serve.streaming import PATIENCE, is_ready, retry_after, send_arriving, send_file

_MOST_BODY = 1 << 20
_HASTE = 3.0
"""Seconds that the root has to answer before what it said last is passed on."""
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](?::\d{1,5})?")
_STALE = "X-GLM-Aria-Stale"


@dataclass(slots=True)
class Counts:
    """What was asked and sent since the start."""

    requests: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: names of headers are in lower case, `link_base` is the address at which it reached us."""

    method: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[str, str]
    link_base: str

    @classmethod
    def of(cls, scope: Scope, prefix: str) -> Request:
        """Read an ASGI scope. `prefix` is the path below which we are asked; a proxy may have removed it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            address, port = scope.get("server") or ("127.0.0.1", 80)
            host = f"{address}:{port}"
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if prefix and (path + b"/").startswith(prefix.encode() + b"/"):
            path = path[len(prefix) :]
        return cls(scope["method"], path, scope["query_string"], headers, f"{scope['scheme']}://{host}{prefix}")


class HubFace:
    """Answers what huggingface_hub and its like ask. `early`: bytes may go out before their proof, where that is safe.

    `looking` are the threads that ask sites and the cache, `reading` those that read files.
    """

    def __init__(  # noqa: PLR0913 - what it asks, and in which threads
        self,
        library: Library,
        arrivals: Arrivals,
        handed: Handed,
        *,
        prefix: str,
        early: bool,
        looking: Executor,
        reading: Executor,
        emit: Emit,
    ) -> None:
        self._library = library
        self._arrivals = arrivals
        self._handed = handed
        self._prefix = prefix
        self._early = early
        self._looking = looking
        self._reading = reading
        self._once = Once(looking)
        self._emit = emit
        self.counts = Counts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        self.counts.requests += 1
        answer = _Answer(send, self.counts)
        working = asyncio.ensure_future(self._answer(Request.of(scope, self._prefix), receive, answer))
        if scope["method"] == "POST":
            await working
            return
        # Nothing else tells that a client has gone while it waits for bytes.
        gone = asyncio.ensure_future(_gone(receive))
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)

    def close(self) -> None:
        """The server has ended: nobody waits for anything any more. In the thread of the event loop."""
        self._arrivals.close()

    async def _answer(self, request: Request, receive: Receive, answer: _Answer) -> None:
        try:
            await self._reply(request, receive, answer)
        except Refused as refused:
            await answer.refuse(refused)
        except GlmAriaError as error:
            await answer.refuse(_refusal(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the last place: a bug is told here, and the server lives on
            self._emit(Notice("request-failed", redacted(f"a request failed: {type(error).__name__}: {error}")))
            await answer.refuse(Refused(500, "this server failed; its output has more"))

    async def _reply(self, request: Request, receive: Receive, answer: _Answer) -> None:
        asked = parse(request.method, request.raw_path, request.query_string)
        if isinstance(asked, WhoAmI):
            raise Refused(401, "nobody has an account here, and no token is needed")
        body = await _body(receive) if isinstance(asked, PathsInfo) else b""
        known = await self._resolve(asked.ref)
        model = known.model
        if model.is_restricted:
            raise Refused(
                403, f"{asked.ref.repo.url_path} is gated or private; this server serves open repos", "GatedRepo"
            )
        if model.name_now is not None:
            target = listing.moved(request.raw_path, request.query_string, asked.ref.repo, model.name_now)
            await answer.give(307, {"Location": self._prefix + target}, b"")
            return
        stale = {_STALE: "1"} if known.is_stale else {}
        match asked:
            case FileBytes():
                await self._file(request, asked, model, stale, answer)
                return
            case AboutRepo():
                reply = listing.about(asked, model)
            case TreePage():
                reply = listing.tree_page(asked, model)
            case TreeSize():
                reply = listing.tree_size(asked, model)
            case PathsInfo():
                reply = listing.paths_info(body, request.headers.get("content-type", ""), model)
            case Passed():
                reply = listing.Reply(await self._passed(asked))
        headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers, **stale}
        if reply.then:
            headers["Link"] = f'<{request.link_base}{reply.then}>; rel="next"'
        await answer.give(reply.status, headers, reply.body)

    # -- what a ref stands for

    async def _resolve(self, ref: Ref) -> Shelved:
        """What the ref stands for, within the time that clients wait for headers."""
        library = self._library
        try:
            return await self._once.do(ref, lambda: library.resolve(ref), _HASTE)
        except TimeoutError:
            pass
        except NotFoundError as error:
            is_there = ref.revision != ref.catalog.main and await self._once.do(
                ("main", ref.repo), lambda: library.has_main(ref), PATIENCE
            )
            raise Refused(404, error.message, "RevisionNotFound" if is_there else "RepoNotFound") from None
        try:
            if (last := await self._once.do(("last", ref), lambda: library.last_known(ref), _HASTE)) is not None:
                return last
            return await self._once.do(ref, lambda: library.resolve(ref), PATIENCE - _HASTE)
        except TimeoutError:
            raise _busy(f"the root takes long to answer about {ref}", 5) from None

    async def _passed(self, asked: Passed) -> Any:
        library = self._library
        try:
            return await self._once.do(asked, lambda: library.passed(asked.ref, asked.parts, asked.query), PATIENCE)
        except TimeoutError:
            raise _busy(f"the root takes long to answer about {asked.ref.repo.url_path}", 5) from None

    # -- the bytes of a file

    async def _file(
        self, request: Request, asked: FileBytes, model: ResolvedModel, stale: Mapping[str, str], answer: _Answer
    ) -> None:
        file = listing.find_file(asked, model)
        headers = {**listing.file_headers(file, model), **stale}
        if request.method == "HEAD":
            await answer.give(200, headers | {"Content-Length": str(file.size)}, b"")
            return
        if is_known(request.headers, file.blob_name):
            await answer.give(304, headers, b"")
            return
        manner = manner_of(request.headers.get("user-agent", ""), early=self._early)
        cut = self._cut(request, file, manner)
        if cut.status == 416:
            await answer.give(cut.status, headers | cut.headers, b"")
            return
        if await self._send_what_is_here(model, file, cut, headers, answer):
            return
        if self._handed.is_suspect(file.digest, self._arrivals.epoch(file.digest)) and manner is Manner.STARTS_OVER:
            manner = Manner.ASKS_AGAIN
        await self._send_what_comes(model, file, cut, manner, headers, answer)

    def _cut(self, request: Request, file: RepoFile, manner: Manner) -> Excerpt:
        cut = excerpt(request.headers, file.size, file.blob_name)
        is_rest = cut.status == 206 and cut.is_open and cut.start > 0 and manner is Manner.STARTS_OVER
        if is_rest and self._handed.is_suspect(file.digest, self._arrivals.epoch(file.digest)):
            return Excerpt(200, 0, file.size, file.size)
        return cut

    async def _send_what_is_here(
        self, model: ResolvedModel, file: RepoFile, cut: Excerpt, headers: Mapping[str, str], answer: _Answer
    ) -> bool:
        """Send a file that the cache has; False if it has not. What some other program put there is proven first."""
        library = self._library
        have, path = await self._once.do(("find", file.digest, model.ref.repo), lambda: library.find(model, file), 60)
        if have is Have.UNPROVEN:
            try:
                await self._once.do(("prove", file.digest), lambda: library.prove(model, file), PATIENCE)
            except TimeoutError:
                raise _busy(f"{file.path!r} is being verified", 10) from None
            have, path = await self._once.do(
                ("find", file.digest, model.ref.repo), lambda: library.find(model, file), 60
            )
        if path is None or have not in (Have.PLACED, Have.ELSEWHERE):
            return False
        await answer.begin(cut.status, {**headers, **cut.headers})
        if await send_file(path, cut, answer.body, self._reading):
            await answer.end()
        return True

    async def _send_what_comes(  # noqa: PLR0917 - the parts of one answer
        self,
        model: ResolvedModel,
        file: RepoFile,
        cut: Excerpt,
        manner: Manner,
        headers: Mapping[str, str],
        answer: _Answer,
    ) -> None:
        library = self._library
        await asyncio.get_running_loop().run_in_executor(self._looking, library.refuse_closed, model)
        with self._arrivals.of(library.job(model, file), cut, manner) as awaited:
            watch = awaited.watch
            before = watch.arrived.total
            if not await is_ready(awaited, cut, manner) and manner in (Manner.STARTS_OVER, Manner.ASKS_AGAIN):
                seconds = retry_after(watch, (watch.arrived.total - before) / PATIENCE)
                self._arrivals.keep(file.digest, seconds + 60)
                raise _busy(f"{file.path!r} is on its way", seconds)
            await answer.begin(cut.status, {**headers, **cut.headers})
            at = await send_arriving(awaited, cut, manner, answer.body, self._handed, self._reading)
            if at == cut.start < cut.end:
                _, path = await self._once.do(
                    ("find", file.digest, model.ref.repo), lambda: library.find(model, file), 60
                )
                if path is not None and await send_file(path, cut, answer.body, self._reading):
                    at = cut.end
            if at == cut.end:
                await answer.end()


class _Answer:
    """The one answer to a request. Left without its end, the server closes the connection after what was sent."""

    def __init__(self, send: Send, counts: Counts) -> None:
        self._send = send
        self._counts = counts
        self._has_begun = False

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers."""
        self._has_begun = True
        pairs = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def body(self, data: bytes | bytearray) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._counts.sent += len(data)

    async def end(self) -> None:
        """That was all."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def give(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        """Send a short answer."""
        length = {} if status == 304 or "Content-Length" in headers else {"Content-Length": str(len(data))}
        await self.begin(status, {**headers, **length})
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def refuse(self, refused: Refused) -> None:
        """Send a refusal; nothing if the answer has begun, since it can only be broken off."""
        if self._has_begun:
            return
        words = redacted(refused.message).encode("ascii", "backslashreplace")[:500].decode("ascii")
        headers = {
            "X-Error-Message": words,
            **({"X-Error-Code": refused.code} if refused.code else {}),
            **refused.headers,
        }
        if refused.is_plain:
            await self.give(refused.status, headers | {"Content-Type": "text/plain"}, f"{words}\n".encode())
        else:
            body = listing.Reply({"error": words}).body
            await self.give(refused.status, headers | {"Content-Type": "application/json; charset=utf-8"}, body)


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    """The body of a request. Raises Refused when it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MOST_BODY:
            raise Refused(413, f"the body has more than {_MOST_BODY} bytes")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(body)


def _busy(message: str, seconds: int) -> Refused:
    """Tell a client to ask again, as huggingface_hub reads it."""
    return Refused(429, message, headers={"Retry-After": str(seconds), "RateLimit": f'"api";r=0;t={seconds}'})


def _refusal(error: GlmAriaError) -> Refused:
    """An error in the Hub's words. Its hint is for the operator, and stays here."""
    match error:
        case NotFoundError():
            return Refused(404, error.message, "RepoNotFound")
        case NotAllowedError():
            return Refused(403, error.message, "GatedRepo")
        case SourcesDownError():
            return Refused(503, error.message, headers={"Retry-After": "10"})
        case TemporaryError():
            return _busy(error.message, 5)
        case NoSpaceError():
            return Refused(507, error.message)
    return Refused(502, error.message)


def application(face: HubFace) -> Starlette:
    """The faces as one application."""
    return Starlette(routes=[Route("/{path:path}", endpoint=face)])
