"""Programs that read our own cache wait at its locks, and find a file placed, instead of writing it a second time.

huggingface_hub asks for the headers of a file (HEAD), takes the lock of its blob, and looks whether the blob is there
by then before it asks for the bytes; so do 0.36, 1.10, 1.22 and 2.4. So we take that lock before we answer. A program
that then tries to get it wants the file: it is fetched, and the lock is given back when the file is placed, when it is
lost, or when nobody tries any more. A HEAD alone fetches nothing.

What this cannot do is done as for any other client: small files, which are there before a second look at the lock;
clients with a cache or a folder of their own; and all where the system does not tell who tries to get a lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.core.refs import RepoId
from orchestrator.depot.watch import State
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.delivery.ranges import Excerpt
from orchestrator.serve.http.clients import Manner
from orchestrator.serve.http.once import PATIENCE
from orchestrator.serve.stock.library import Library
from orchestrator.serve.stock.shelves import Shelves
from orchestrator.system.openings import Openings
from orchestrator.transfer.spans import SMALL

IDLE = 15.0
"""Seconds without a try after which nobody waits: filelock tries 20 times a second, if the machine lets it."""
_MOST = 64
"""Locks held at once; a list of what a repo has (`hf download --dry-run`) asks for the headers of all files."""


class _Attended(NamedTuple):
    """A file whose lock is held, or about to be: before that nobody who asks for its headers gets them."""

    task: asyncio.Task[None]
    may_answer: asyncio.Event


class Waiting:
    """The locks that are held for clients. For the thread of the event loop; `looking` are threads that may block."""

    def __init__(
        self,
        library: Library,
        shelves: Shelves,
        arrivals: Arrivals,
        *,
        openings: Openings,
        looking: Executor,
        emit: Emit,
    ) -> None:
        self._library = library
        self._shelves = shelves
        self._arrivals = arrivals
        self._openings = openings
        self._looking = looking
        self._emit = emit
        self._attending: dict[tuple[RepoId, Digest], _Attended] = {}
        self._tries: dict[int, Callable[[], None]] = {}

    async def expect(self, model: ResolvedModel, file: RepoFile) -> None:
        """Have programs that wait at the lock of a file find it placed. Done as soon as the headers may be answered."""
        key = model.ref.repo, file.digest
        attended = self._attending.get(key)
        if attended is None:
            if file.size < SMALL or len(self._attending) >= _MOST:
                return
            if not self._attending:
                asyncio.get_running_loop().add_reader(self._openings, self._told)
            may_answer = asyncio.Event()
            attended = _Attended(asyncio.ensure_future(self._attend(model, file, may_answer)), may_answer)
            self._attending[key] = attended
            attended.task.add_done_callback(lambda _: self._left(key))
        with suppress(TimeoutError):
            await asyncio.wait_for(attended.may_answer.wait(), PATIENCE)

    def close(self) -> None:
        """Give all locks back."""
        for attended in self._attending.values():
            attended.task.cancel()

    def _left(self, key: tuple[RepoId, Digest]) -> None:
        del self._attending[key]
        if not self._attending:
            asyncio.get_running_loop().remove_reader(self._openings)

    def _told(self) -> None:
        for number in self._openings.read():
            if number in self._tries:
                self._tries[number]()

    async def _attend(self, model: ResolvedModel, file: RepoFile, may_answer: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            with suppress(GlmAriaError, OSError, TimeoutError), ExitStack() as stack:
                lock = await loop.run_in_executor(self._looking, self._hold, model, file, stack)
                if lock is not None:
                    with self._tried(lock) as tried:
                        may_answer.set()
                        await self._fetch(model, file, tried)
        finally:
            may_answer.set()

    def _hold(self, model: ResolvedModel, file: RepoFile, held: ExitStack) -> Path | None:
        """Have `held` hold the lock of a file, and return it; None when there is nothing to wait for, or somebody else
        holds it. What another repo of the cache has is linked."""
        found = self._library.find(model, file)
        if found.have is Have.ELSEWHERE and found.path is not None:
            self._shelves.link(model, file, found.path)
        if found.have is not Have.NOTHING:
            return None
        self._shelves.refuse(model, file)
        return held.enter_context(self._shelves.hold(model, file))

    @contextmanager
    def _tried(self, lock: Path) -> Iterator[Tries]:
        """The tries of others to get a lock, as they are told from now on."""
        tries = Tries()
        number = self._openings.watch(lock)
        self._tries[number] = tries.add
        try:
            yield tries
        finally:
            del self._tries[number]
            self._openings.forget(number)

    async def _fetch(self, model: ResolvedModel, file: RepoFile, tries: Tries) -> None:
        """Have a file fetched for as long as somebody waits for it."""
        if not await tries.go_on():
            return
        await self._arrivals.make_room(model, file, IDLE)
        with self._arrivals.of(model, file, Excerpt.whole(file.size), Manner.WAITS) as awaited:
            watch = awaited.watch
            while not watch.has_ended and await tries.go_on():
                change = awaited.change
                if not watch.has_ended:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(change.wait(), IDLE)
            if watch.state is State.LOST and watch.error is not None:
                self._emit(Notice("not-fetched", f"{file.path!r} could not be fetched: {watch.error.message}"))


class Tries:
    """The tries of others to get a lock."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._last = -IDLE
        self._again = asyncio.Event()

    def add(self) -> None:
        """Somebody has tried."""
        self._last = self._clock()
        self._again.set()

    async def go_on(self) -> bool:
        """True if somebody has tried in the last seconds; else wait so long for it."""
        if self._clock() - self._last < IDLE:
            return True
        self._again.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), IDLE)
        return self._again.is_set()
