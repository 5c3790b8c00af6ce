"""The bytes of a file for a client: from the cache, or while they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from orchestrator.core.files import RepoFile
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.delivery.ahead import Ahead
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.delivery.handed import Handed
from orchestrator.serve.delivery.ranges import Excerpt, excerpt, is_known
from orchestrator.serve.delivery.snippets import Snippets
from orchestrator.serve.delivery.streaming import (
    KEEPING,
    Opened,
    opened,
    retry_after,
    send_arriving,
    send_file,
    until_placed,
    until_ready,
)
from orchestrator.serve.delivery.waiting import Waiting
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.clients import Manner, manner_of
from orchestrator.serve.http.exchange import Presence
from orchestrator.serve.http.once import PATIENCE, Once
from orchestrator.serve.http.refusals import Refused, busy
from orchestrator.serve.stock.library import Library
from orchestrator.serve.stock.shelves import Shelves

_LOOKS = 3


class Delivery:
    """Gives clients the bytes of files. `early`: they may go out before their proof, where that is safe.

    `looking` are threads that ask the cache, `proving` those that hash what others put there, `reading` those that read
    files. With `waiting`, programs that read our cache wait at its locks; with `ahead`, small files come before anybody
    asks for them. For the thread of the event loop.
    """

    def __init__(  # noqa: PLR0913 - where bytes are, and in which threads they are looked for
        self,
        library: Library,
        shelves: Shelves,
        arrivals: Arrivals,
        handed: Handed,
        snippets: Snippets,
        *,
        early: bool,
        looking: Executor,
        proving: Executor,
        reading: Executor,
        waiting: Waiting | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        self._library = library
        self._shelves = shelves
        self._arrivals = arrivals
        self._handed = handed
        self._snippets = snippets
        self._early = early
        self._looking = looking
        self._reading = reading
        self._waiting = waiting
        self._ahead = ahead
        self._proofs = Once(proving)

    async def give(  # noqa: PLR0917 - who asks for what, and how it is answered
        self,
        request: Request,
        caller: Caller,
        model: ResolvedModel,
        file: RepoFile,
        headers: Mapping[str, str],
        answer: Answering,
    ) -> None:
        """Answer a GET or HEAD for a file, with these headers beside those of its length and range. Raises Refused,
        and what ended the arrival. The caller may read the model; what is not here is fetched for who may fetch it."""
        exchange = answer.exchange
        exchange.blob, exchange.name = file.digest, f"{model.ref.repo.url_path}/{file.path}"
        exchange.ref, exchange.commit, exchange.size = model.ref, model.commit, file.size
        exchange.is_closed = model.is_restricted
        if request.method == "HEAD":
            if self._waiting is not None:
                await self._waiting.expect(model, file)
            await answer.give(200, {**headers, "Content-Length": str(file.size)}, b"")
            return
        if is_known(request.headers, file.blob_name):
            await answer.give(304, headers, b"")
            return
        if (cut := self._cut(request, file)).status == 416:
            await answer.give(416, {**headers, **cut.headers}, b"")
            return
        if self._ahead is not None and caller.may_have(model.ref):
            self._ahead.asked(model, file)
        with self._shelves.reading(model):
            async with self._here(request, model, file) as one:
                if one is not None:
                    answer.exchange.found = Presence.HIT
                    cut = self._cut(request, file)
                    await answer.begin(cut.status, {**headers, **cut.headers})
                    if await send_file(one, cut, answer.body, self._reading, answer.file):
                        await answer.end()
                    return
            if not caller.may_have(model.ref):
                raise caller.deny(f"{file.path!r} is not in the cache, and is not fetched")
            if self._library.is_offline:  # it exists, so that 404 would be a lie
                raise Refused(403, f"{file.path!r} is not in the cache, and this server asks nobody (--offline)")
            if self._manner(request) is not Manner.HASHES:
                snippet = await self._snippets.get(model, file, cut, caller)
                if snippet is not None:
                    answer.exchange.found = Presence.MISS
                    await answer.begin(cut.status, {**headers, **cut.headers})
                    await answer.body(snippet)
                    await answer.end()
                    return
            await self._send_what_comes(request, model, file, headers, answer)

    def close(self) -> None:
        """The server has ended: nobody waits for anything any more."""
        if self._waiting is not None:
            self._waiting.close()
        if self._ahead is not None:
            self._ahead.close()
        self._arrivals.close()

    def _cut(self, request: Request, file: RepoFile) -> Excerpt:
        """The part of a file that is to be sent, as it is now: who may have wrong bytes and asks for the rest gets the
        whole. To be asked for again after each wait."""
        cut = excerpt(request.headers, file.size, file.blob_name)
        # Also where nobody gets early bytes now: the server before this one may have sent some.
        starts_over = manner_of(request.headers.get("user-agent", "")) is Manner.STARTS_OVER
        if cut.is_open and cut.start > 0 and starts_over and self._is_suspect(file):
            return Excerpt.whole(file.size)
        return cut

    def _manner(self, request: Request) -> Manner:
        return manner_of(request.headers.get("user-agent", ""), early=self._early)

    def _is_suspect(self, file: RepoFile) -> bool:
        return self._handed.is_suspect(file.digest, self._arrivals.epoch(file.digest))

    @asynccontextmanager
    async def _here(self, request: Request, model: ResolvedModel, file: RepoFile) -> AsyncIterator[Opened | None]:
        """A file that is proven in the cache; None when it is not there."""
        for _ in range(_LOOKS):  # it may be removed between a look and its opening
            async with opened(lambda: self._library.find(model, file), self._looking) as one:
                if one.fd is not None:
                    yield one
                    return
            if one.found.have is Have.UNPROVEN:
                await _patiently(
                    request, lambda wait: self._prove(wait, model, file), f"{file.path!r} is being verified"
                )
            elif one.found.stamp is None:
                break
        yield None

    async def _prove(self, seconds: float, model: ResolvedModel, file: RepoFile) -> None:
        """Prove a file that some other program put into the cache. Raises TimeoutError when that takes longer."""
        await self._proofs.do(("prove", file.digest), lambda: self._library.prove(model, file), seconds)

    async def _send_what_comes(
        self, request: Request, model: ResolvedModel, file: RepoFile, headers: Mapping[str, str], answer: Answering
    ) -> None:
        if not self._arrivals.is_coming(file.digest):
            await _patiently(
                request,
                lambda wait: self._arrivals.make_room(model, file, wait),
                f"room is being made for {file.path!r}",
            )
        cut, manner = self._cut(request, file), self._manner(request)
        answer.exchange.found = Presence.MISS if self._arrivals.epoch(file.digest) is None else Presence.ARRIVING
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
                await until_placed(awaited)
                async with self._here(request, model, file) as one:
                    if one is not None and await send_file(one, cut, answer.body, self._reading, answer.file):
                        at = cut.end
            if at == cut.end:
                await answer.end()


async def _patiently(request: Request, step: Callable[[float], Awaitable[object]], why: str) -> None:
    """Do a step, however long it takes; each try may take so many seconds. Raises Refused for a client that cannot be
    kept waiting."""
    while True:
        try:
            await step(PATIENCE if request.keep is None else KEEPING)
        except TimeoutError:
            if request.keep is None:
                raise busy(why, 10) from None
            request.keep()
        else:
            return
