"""Prefetching: the files of a model are fetched into the cache as for a client, and nobody is sent their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.depot.watch import Watch
from orchestrator.errors import GlmAriaError, NoSpaceError, NotFoundError
from orchestrator.lists.request import Item
from orchestrator.resolve.missing import refuse_missing
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.delivery.arrivals import GRACE, Arrivals
from orchestrator.serve.delivery.ranges import Excerpt
from orchestrator.serve.delivery.streaming import until_placed
from orchestrator.serve.http.clients import Manner
from orchestrator.serve.stock.inquiries import Inquiries
from orchestrator.serve.stock.library import Library
from orchestrator.serve.stock.room import Room
from orchestrator.serve.stock.shelves import Shelves

_AT_ONCE = 64
"""Files of a model that are wanted at once: the others do not stand before those of a client."""
_PATIENCE = 3600.0


@dataclass(slots=True, eq=False)
class Prefetch:
    """One model that is prefetched, as it is now. `lost` are the files that could not be fetched, and why.

    With `is_guess` nobody has asked for it: it takes no room of what was used, and what is under way stops at once when
    it is cancelled.
    """

    model: ResolvedModel
    files: tuple[RepoFile, ...]
    is_guess: bool = False
    present: int = 0
    arrived: int = 0
    files_done: int = 0
    lost: list[tuple[str, GlmAriaError]] = field(default_factory=list)
    watches: dict[Digest, Watch] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def done(self) -> int:
        """The bytes that are here."""
        return self.present + self.arrived + sum(watch.arrived.total for watch in self.watches.values())


class Prefetching:
    """The models that are prefetched. For the thread of the event loop; `making` are threads that reserve room."""

    def __init__(
        self,
        inquiries: Inquiries,
        library: Library,
        shelves: Shelves,
        arrivals: Arrivals,
        room: Room,
        *,
        making: Executor,
    ) -> None:
        self._inquiries = inquiries
        self._library = library
        self._shelves = shelves
        self._arrivals = arrivals
        self._room = room
        self._making = making
        self._running: list[Prefetch] = []

    @property
    def running(self) -> tuple[Prefetch, ...]:
        """The models that are being prefetched now."""
        return tuple(self._running)

    async def plan(self, item: Item, caller: Caller, *, is_guess: bool = False) -> Prefetch:
        """Look up a model, and which of its files are wanted. Raises Refused, what `Inquiries.resolve`
        does, and NotFoundError when none is wanted, or what is wanted by its name is not there."""
        known = await self._inquiries.resolve(item.ref, caller)
        tree = known.model.tree
        refuse_missing(item, tree)
        wanted = item.select(tree).files
        if tree.files and not wanted:
            raise NotFoundError(f"the selection matches none of the {len(tree.files)} files of {item.ref}")
        distinct = {file.digest: file for file in wanted if file.size}
        return Prefetch(known.model, tuple(distinct.values()), is_guess)

    async def missing(self, prefetch: Prefetch) -> int:
        """The bytes that are nowhere in the cache. That somebody looks is no use of the model."""
        step = partial(self._shelves.missing, prefetch.model, prefetch.files)
        missing = await asyncio.get_running_loop().run_in_executor(self._making, step)
        return sum(file.size for file in missing)

    async def run(self, prefetch: Prefetch) -> None:
        """Fetch what is missing; done when that is in the cache, or lost. Room for all of it is reserved first: raises
        NoSpaceError, and the disk's errors. Cancelled, it gives its wants back like a client who leaves."""
        model = prefetch.model
        missing: list[RepoFile] = []
        self._running.append(prefetch)
        try:
            with self._shelves.reading(model), self._guessed(prefetch):
                missing = await self._reserved(prefetch)
                turn = asyncio.Semaphore(_AT_ONCE)
                async with asyncio.TaskGroup() as group:
                    for file in missing:
                        group.create_task(self._fetch(prefetch, file, turn))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._running.remove(prefetch)
            self._give_back(missing)

    def _guessed(self, prefetch: Prefetch) -> AbstractContextManager[None]:
        return self._shelves.guessing(prefetch.model) if prefetch.is_guess else nullcontext()

    async def _reserved(self, prefetch: Prefetch) -> list[RepoFile]:
        """The files that are to be fetched, and have room. Who leaves before that is known takes none."""
        step = asyncio.get_running_loop().run_in_executor(self._making, self._missing, prefetch)
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            step.add_done_callback(lambda done: None if done.exception() else self._give_back(done.result()))
            raise

    def _give_back(self, files: Sequence[RepoFile]) -> None:
        for file in files:
            self._arrivals.release_unused(file.digest)

    def _missing(self, prefetch: Prefetch) -> list[RepoFile]:
        """The files that are to be fetched, for which room is reserved. Proves what some other program put here."""
        model, missing = prefetch.model, []
        for file in prefetch.files:
            have = self._library.find(model, file, is_use=not prefetch.is_guess).have
            if have is Have.UNPROVEN and not self._library.prove(model, file):
                have = Have.NOTHING
            if have is Have.NOTHING:
                missing.append(file)
            else:
                prefetch.present += file.size
                prefetch.files_done += 1
        for file in missing:
            self._shelves.refuse(model, file)
        sizes = {file.digest: file.size for file in missing}
        self._room.reserve(sizes, str(model.ref), is_guess=prefetch.is_guess)
        return missing

    async def _fetch(self, prefetch: Prefetch, file: RepoFile, turn: asyncio.Semaphore) -> None:
        model = prefetch.model
        async with turn:
            await self._arrivals.make_room(model, file, _PATIENCE)
            grace = 0.0 if prefetch.is_guess else GRACE
            with self._arrivals.of(model, file, Excerpt.whole(file.size), Manner.WAITS, grace) as awaited:
                prefetch.watches[file.digest] = awaited.watch
                try:
                    await until_placed(awaited)
                except GlmAriaError as error:
                    prefetch.lost.append((file.path, error))
                    if isinstance(error, NoSpaceError):
                        raise
                else:
                    prefetch.arrived += file.size
                    prefetch.files_done += 1
                finally:
                    del prefetch.watches[file.digest]
