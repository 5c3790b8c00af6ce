"""The blobs that are on their way for clients, in the thread of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Job, ResolvedModel
from orchestrator.core.refs import RepoId
from orchestrator.depot.messages import Proven
from orchestrator.depot.resident import Here
from orchestrator.depot.watch import State, Watch
from orchestrator.errors import GlmAriaError, SourcesDownError
from orchestrator.events import Emit, FileProgress, Phase, ignore
from orchestrator.serve.delivery.handed import Handed
from orchestrator.serve.delivery.ranges import Excerpt
from orchestrator.serve.delivery.streaming import Awaited
from orchestrator.serve.http.clients import Manner
from orchestrator.serve.http.once import Once
from orchestrator.serve.http.refusals import busy
from orchestrator.serve.stock.room import Room
from orchestrator.serve.stock.shelves import Shelves
from orchestrator.transfer.interface import Already

GRACE = 60.0
"""Seconds for which a blob is fetched on after its last client left: most of them come back for the rest."""

T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    """A want of our own beside those of the clients, and when it ends. `closed` is the closed repo for which it is."""

    watch: Watch
    closed: RepoId | None
    readers: int = 0
    end: asyncio.TimerHandle | None = None


class Arrivals:
    """Wants of blobs: one for each client that waits, and one that lasts for a while after the last of them.

    `making` are the threads in which room is made. What comes for a closed repo is for those alone who may read that
    repo, unless it is `for_all`.
    """

    def __init__(
        self, shelves: Shelves, handed: Handed, room: Room, making: Executor, *, for_all: bool = False
    ) -> None:
        self._shelves = shelves
        self._handed = handed
        self._room = room
        self._threads = making
        self._making = Once(making)
        self._want: Callable[[Job], Watch] = _nobody_fetches
        self._emit: Emit = ignore
        self._for_all = for_all
        self._kept: dict[Digest, _Kept] = {}

    def fetch_by(self, want: Callable[[Job], Watch], emit: Emit = ignore) -> None:
        """Have blobs fetched by a depot, whose `place` is that of this object. `emit` hears of each at
        once, though others come first."""
        self._want, self._emit = want, emit

    def place(self, batch: Sequence[Here]) -> Mapping[Digest, GlmAriaError]:
        """Put proven blobs where they were asked for; the reasons of those for which that failed. By any thread."""
        proven = [one for one in batch if isinstance(one, Proven)]
        for one in proven:
            kept = self._kept.get(one.job.digest)
            if kept is not None:
                self._handed.proven(one.job.digest, kept.watch.epoch)
        placed = [one.job.digest for one in batch if isinstance(one, Already)]
        # All of it is on the disk by now, in a part.
        self._room.release(one.job.digest for one in batch)
        return self._shelves.place([one.file for one in proven], placed)

    def epoch(self, digest: Digest) -> int | None:
        """The epoch of a blob that is on its way."""
        kept = self._kept.get(digest)
        return kept.watch.epoch if kept else None

    def under_way(self) -> tuple[tuple[Watch, int], ...]:
        """The blobs that are fetched, each with the number of clients that wait for it."""
        return tuple((kept.watch, kept.readers) for kept in self._kept.values() if not kept.watch.has_ended)

    async def make_room(self, model: ResolvedModel, file: RepoFile, seconds: float) -> None:
        """Reserve room for a file, which `of` is to be called for at once. Raises what `Shelves.refuse` and
        `Room.reserve` do, and TimeoutError when that takes longer."""

        def step() -> None:
            self._shelves.refuse(model, file)
            self._room.reserve({file.digest: file.size}, repr(file.path))

        loop = asyncio.get_running_loop()
        try:
            await self._making.do(("room", model.ref.repo, file.digest), step, seconds)
        finally:
            # Who asked may be gone by now, or before the step ends.
            loop.call_later(GRACE, self.release_unused, file.digest)

    async def bring(self, model: ResolvedModel, files: Sequence[RepoFile]) -> None:
        """Fetch those of these files that are missing, without a client, for as long as one may come. Raises what
        `make_room` does, and then none is fetched."""

        def step() -> list[RepoFile]:
            missing = self._shelves.missing(model, files)
            if missing:
                self._shelves.refuse(model, max(missing, key=lambda file: file.size))
                self._room.reserve({file.digest: file.size for file in missing}, str(model.ref))
            return missing

        missing = await asyncio.get_running_loop().run_in_executor(self._threads, step)
        for file in missing:
            if not self.is_coming(file.digest):
                self._forget(file.digest, has_room=True)
                self._begin(model, file, self._shelves.want(model, file))
                self.keep(file.digest, GRACE)

    def is_coming(self, digest: Digest) -> bool:
        """True while a blob is on its way, and has room."""
        kept = self._kept.get(digest)
        return kept is not None and not kept.watch.has_ended

    def release_unused(self, digest: Digest) -> None:
        """Give the room of a blob back, unless it is on its way."""
        if digest not in self._kept:
            self._room.release([digest])

    @contextmanager
    def of(
        self, model: ResolvedModel, file: RepoFile, cut: Excerpt, manner: Manner, grace: float = GRACE
    ) -> Iterator[Awaited]:
        """A file on its way, for a client that waits for this part of it. Raises Refused. When the last one has left it
        is fetched on for `grace` seconds."""
        digest = file.digest
        kept = self._kept.get(digest) if self.is_coming(digest) else None
        if kept is None:
            self._forget(digest, has_room=True)
        repo = model.ref.repo
        if kept is not None and not self._for_all and kept.closed not in (None, repo):
            raise busy(f"{file.path!r} is on its way for another repo", 10)
        # Only now: with what has ended, those who wanted it are forgotten.
        job = self._shelves.want(model, file)
        awaited = Awaited(self._want(job))
        if manner in (Manner.HASHES, Manner.STARTS_OVER):
            # At once: what the depot has given out to a connection already stays there.
            awaited.look_ahead(cut.start, cut.end)
        if kept is None:
            kept = self._begin(model, file, job)
        kept.readers += 1
        try:
            yield awaited
        finally:
            awaited.close()
            kept.readers -= 1
            if self._kept.get(digest) is kept and not kept.readers:
                if grace:
                    self.keep(digest, grace)
                else:
                    self._forget(digest)

    def keep(self, digest: Digest, seconds: float) -> None:
        """Fetch a blob on for so long, also without a client."""
        kept = self._kept[digest]
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if kept.end is not None:
            due = max(due, kept.end.when())
            kept.end.cancel()
        kept.end = loop.call_at(due, self._end, digest, kept)

    def _begin(self, model: ResolvedModel, file: RepoFile, job: Job) -> _Kept:
        """A want of our own."""
        self._emit(FileProgress(file.digest, job.name, Phase.FETCHING, 0, job.size))
        kept = self._kept[file.digest] = _Kept(self._want(job), model.ref.repo if model.is_restricted else None)
        return kept

    def close(self) -> None:
        """Give all wants back."""
        for digest in tuple(self._kept):
            self._forget(digest)

    def _end(self, digest: Digest, kept: _Kept) -> None:
        if self._kept.get(digest) is kept and not kept.readers:
            self._forget(digest)

    def _forget(self, digest: Digest, *, has_room: bool = False) -> None:
        """Give a want of our own back, and its room unless that is for another want."""
        kept = self._kept.pop(digest, None)
        if kept is None:
            return
        if not has_room:
            self._room.release([digest])
        if kept.end is not None:
            kept.end.cancel()
        state = kept.watch.state
        if state is not State.PROVEN:  # about to be placed
            self._shelves.give_up(digest)
            if state is not State.PLACED:
                self._handed.doubt(digest)
        kept.watch.close()


def _nobody_fetches(job: Job) -> Watch:
    raise SourcesDownError(f"{job.name!r} is not here, and nobody fetches it")
