"""Those who follow the changes of a registry: how many there may be, and what is new to one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial

from orchestrator.core.refs import RepoId
from orchestrator.registry.audit import TrailEvent
from orchestrator.registry.core import Registry
from orchestrator.rights import Subject
from orchestrator.serve.http.refusals import busy
from orchestrator.serve.registry.bell import Bell

MOST, EACH = 512, 64
"""Those who follow at once, and those of one client."""
_LOOK = 1.0
"""Seconds between two looks at a trail that another process may write to."""
_MOST_READ = 1000


class Following:
    """The changes of a server's registry for who follows them. `asking` are threads that read the trail; `is_over`
    tells that the server ends. For the thread of the event loop."""

    def __init__(self, registry: Registry, bell: Bell, asking: Executor, is_over: Callable[[], bool]) -> None:
        self._registry = registry
        self._bell = bell
        self._asking = asking
        self._is_over = is_over
        self._open: Counter[str] = Counter()

    @contextmanager
    def place_for(self, client: str) -> Iterator[None]:
        """The time in which a client follows. Raises Refused where there are too many."""
        if self._open.total() >= MOST or self._open[client] >= EACH:
            raise busy("many follow this registry already", 10)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            self._open += Counter()  # without those who left

    async def begin(self, who: Subject, model: RepoId | None, after: int | None) -> int:
        """The number behind which the changes follow: that which the client named, or that of the last one that it may
        see. Raises what `Registry` does."""
        return await asyncio.get_running_loop().run_in_executor(self._asking, self._begin, who, model, after)

    async def changes(
        self, who: Callable[[], Subject], model: RepoId | None, after: int
    ) -> AsyncGenerator[tuple[TrailEvent, ...]]:
        """The changes of a model, or of all that somebody may read, behind the event of that number, until the server
        ends: once a second at least, also where there are none. `who` is asked each time. Raises what `Registry`
        does."""
        run = partial(asyncio.get_running_loop().run_in_executor, self._asking)
        while not self._is_over():
            change = self._bell.waiting()
            try:
                # Read after the bell is hung up: what comes meanwhile is heard.
                news, after = await run(self._registry.news, who(), model, after, _MOST_READ)
                yield news
                if not news:
                    await asyncio.wait([change], timeout=_LOOK)
            finally:
                change.cancel()

    def _begin(self, who: Subject, model: RepoId | None, after: int | None) -> int:
        newest = self._registry.newest_event(who, model)  # refuses who may not read them
        # A number that is not given out yet is of a trail that is no more.
        return newest if after is None else min(after, newest)
