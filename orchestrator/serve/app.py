"""The Hub face as an ASGI application: from requests to the library, and from its errors to the Hub's codes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from orchestrator.core.files import RepoFile
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.core.refs import Ref
from orchestrator.core.text import redacted
from orchestrator.errors import GlmAriaError, NotFoundError
from orchestrator.events import Emit, Notice
from orchestrator.serve import listing
from orchestrator.serve.answers import Answering, Counts, Request, busy, gone, read_body, refusal_of
from orchestrator.serve.arrivals import Arrivals, Once
from orchestrator.serve.clients import Manner, manner_of
from orchestrator.serve.handed import Handed
from orchestrator.serve.hub import AboutRepo, FileBytes, Passed, PathsInfo, Refused, TreePage, TreeSize, WhoAmI, parse
from orchestrator.serve.library import Library, Shelved
from orchestrator.serve.ranges import Excerpt, excerpt, is_known
from orchestrator.serve.shelves import Shelves
from orchestrator.serve.streaming import KEEPING, PATIENCE, retry_after, send_arriving, send_file, until_ready
from orchestrator.serve.waiting import Waiting

_HASTE = 3.0
"""Seconds that the root has to answer before what it said last is passed on."""
_STALE = "X-GLM-Aria-Stale"


class HubFace:
    """Answers what huggingface_hub and its like ask. `early`: bytes may go out before their proof, where that is safe.

    `asking` are the threads that ask sites, which may keep them for long, `looking` those that ask the cache, `reading`
    those that read files. With `is_own` the only clients are programs of the operator's: they alone know the prefix,
    and may have closed repos. With `waiting` those that read our cache wait at its locks.
    """

    def __init__(  # noqa: PLR0913 - what it asks, and in which threads
        self,
        library: Library,
        shelves: Shelves,
        arrivals: Arrivals,
        handed: Handed,
        *,
        prefix: str,
        early: bool,
        asking: Executor,
        looking: Executor,
        reading: Executor,
        emit: Emit,
        is_own: bool = False,
        waiting: Waiting | None = None,
    ) -> None:
        self._is_own = is_own
        self._waiting = waiting
        self._library = library
        self._shelves = shelves
        self._arrivals = arrivals
        self._handed = handed
        self._prefix = prefix
        self._early = early
        self._looking = looking
        self._reading = reading
        self._once, self._asks = Once(looking), Once(asking)
        self._emit = emit
        self.counts = Counts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        self.counts.requests += 1
        answer = Answering(send, self.counts)
        working = asyncio.ensure_future(self._answer(Request.of(scope, self._prefix), receive, answer))
        if scope["method"] == "POST":
            await working
            return
        # Nothing else tells that a client has gone while it waits for bytes.
        leaving = asyncio.ensure_future(gone(receive))
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)

    def close(self) -> None:
        """The server has ended: nobody waits for anything any more. In the thread of the event loop."""
        if self._waiting is not None:
            self._waiting.close()
        self._arrivals.close()

    async def _answer(self, request: Request, receive: Receive, answer: Answering) -> None:
        try:
            await self._reply(request, receive, answer)
        except Refused as refused:
            await answer.refuse(refused)
        except GlmAriaError as error:
            await answer.refuse(refusal_of(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the last place: a bug is told here, and the server lives on
            self._emit(Notice("request-failed", redacted(f"a request failed: {type(error).__name__}: {error}")))
            await answer.refuse(Refused(500, "this server failed; its output has more"))

    async def _reply(self, request: Request, receive: Receive, answer: Answering) -> None:
        if self._is_own and not request.is_below:
            raise Refused(404, "there is nothing at this address")
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A page somewhere would have the browser of a user fill this disk.
            raise Refused(403, "pages of other sites get nothing here")
        asked = parse(request.method, request.raw_path, request.query_string)
        if isinstance(asked, WhoAmI):
            raise Refused(401, "nobody has an account here, and no token is needed")
        body = await read_body(receive) if isinstance(asked, PathsInfo) else b""
        known = await self._resolve(asked.ref)
        model = known.model
        if model.is_restricted and not self._is_own:
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
                reply = listing.HubDocument(await self._passed(asked))
        headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers, **stale}
        if reply.then:
            headers["Link"] = f'<{request.link_base}{reply.then}>; rel="next"'
        await answer.give(reply.status, headers, reply.body)

    # -- what a ref stands for

    async def _resolve(self, ref: Ref) -> Shelved:
        """The commit and listing of a ref, within the time that clients wait for headers."""
        library = self._library
        if (known := library.fresh(ref)) is not None:
            return known
        try:
            # Not among those that wait for the root.
            if (known := await self._once.do(("here", ref), lambda: library.here(ref), PATIENCE)) is not None:
                return known
            return await self._asks.do(ref, lambda: library.resolve(ref), _HASTE)
        except TimeoutError:
            pass
        except NotFoundError as error:
            is_there = ref.revision != ref.catalog.main and await self._asks.do(
                ("main", ref.repo), lambda: library.has_main(ref), PATIENCE
            )
            raise Refused(404, error.message, "RevisionNotFound" if is_there else "RepoNotFound") from None
        try:
            if (last := await self._once.do(("last", ref), lambda: library.last_known(ref), _HASTE)) is not None:
                return last
            return await self._asks.do(ref, lambda: library.resolve(ref), PATIENCE - _HASTE)
        except TimeoutError:
            raise busy(f"the root takes long to answer about {ref}", 5) from None

    async def _passed(self, asked: Passed) -> Any:
        library = self._library
        try:
            return await self._asks.do(asked, lambda: library.passed(asked.ref, asked.parts, asked.query), PATIENCE)
        except TimeoutError:
            raise busy(f"the root takes long to answer about {asked.ref.repo.url_path}", 5) from None

    # -- the bytes of a file

    async def _file(
        self, request: Request, asked: FileBytes, model: ResolvedModel, stale: Mapping[str, str], answer: Answering
    ) -> None:
        file = listing.find_file(asked, model)
        headers = {**listing.file_headers(file, model), **stale}
        if request.method == "HEAD":
            if self._waiting is not None:
                await self._waiting.expect(model, file)
            await answer.give(200, headers | {"Content-Length": str(file.size)}, b"")
            return
        if is_known(request.headers, file.blob_name):
            await answer.give(304, headers, b"")
            return
        if (cut := self._cut(request, file)).status == 416:
            await answer.give(416, headers | cut.headers, b"")
        elif (path := await self._here(request, model, file)) is not None:
            cut = self._cut(request, file)
            await answer.begin(cut.status, {**headers, **cut.headers})
            if await send_file(path, cut, answer.body, self._reading):
                await answer.end()
        else:
            await self._send_what_comes(request, model, file, headers, answer)

    def _cut(self, request: Request, file: RepoFile) -> Excerpt:
        """The part of a file that is to be sent, as it is now: who may have wrong bytes and asks for the rest gets the
        whole. To be asked for again after each wait."""
        cut = excerpt(request.headers, file.size, file.blob_name)
        # Also where nobody gets early bytes now: the server before this one may have sent some.
        starts_over = manner_of(request.headers.get("user-agent", "")) is Manner.STARTS_OVER
        if cut.is_open and cut.start > 0 and starts_over and self._is_suspect(file):
            return Excerpt(200, 0, file.size, file.size)
        return cut

    def _manner(self, request: Request) -> Manner:
        return manner_of(request.headers.get("user-agent", ""), early=self._early)

    def _is_suspect(self, file: RepoFile) -> bool:
        return self._handed.is_suspect(file.digest, self._arrivals.epoch(file.digest))

    async def _here(self, request: Request, model: ResolvedModel, file: RepoFile) -> Path | None:
        """The path of a file that is proven in the cache. What some other program put there is proven first."""
        have, path = await self._find(model, file)
        while have is Have.UNPROVEN:
            try:
                seconds = PATIENCE if request.keep is None else KEEPING
                await self._once.do(("prove", file.digest), lambda: self._library.prove(model, file), seconds)
                have, path = await self._find(model, file)
            except TimeoutError:
                if request.keep is None:
                    raise busy(f"{file.path!r} is being verified", 10) from None
                request.keep()
        return path if have in (Have.PLACED, Have.ELSEWHERE) else None

    async def _find(self, model: ResolvedModel, file: RepoFile) -> tuple[Have, Path | None]:
        key = "find", file.digest, model.ref.repo
        return await self._once.do(key, lambda: self._library.find(model, file), 60)

    async def _send_what_comes(
        self, request: Request, model: ResolvedModel, file: RepoFile, headers: Mapping[str, str], answer: Answering
    ) -> None:
        await asyncio.get_running_loop().run_in_executor(self._looking, self._shelves.refuse, model, file)
        cut, manner = self._cut(request, file), self._manner(request)
        with self._arrivals.of(model, file, cut, manner) as awaited:
            watch = awaited.watch
            while True:
                epoch, before = watch.epoch, watch.arrived.total
                cut = self._cut(request, file)
                if manner is Manner.STARTS_OVER and self._is_suspect(file):
                    manner = Manner.ASKS_AGAIN
                is_kept = await until_ready(awaited, cut, manner, request.keep)
                if not is_kept and manner in (Manner.STARTS_OVER, Manner.ASKS_AGAIN):
                    seconds = retry_after(watch, (watch.arrived.total - before) / PATIENCE)
                    self._arrivals.keep(file.digest, seconds + 60)
                    raise busy(f"{file.path!r} is on its way", seconds)
                if watch.epoch == epoch:
                    break
            await answer.begin(cut.status, {**headers, **cut.headers})
            at = await send_arriving(awaited, epoch, cut, manner, answer.body, self._handed, self._reading)
            if at == cut.start < cut.end:
                _, path = await self._find(model, file)
                if path is not None and await send_file(path, cut, answer.body, self._reading):
                    at = cut.end
            if at == cut.end:
                await answer.end()


def application(face: HubFace) -> Router:
    """The faces as one application."""
    return Router(routes=[Route("/{path:path}", endpoint=face)])
