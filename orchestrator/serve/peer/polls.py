"""Polls: nodes that wait until there is news of what this one has. No thread waits with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial

from orchestrator.serve.http.once import Once
from orchestrator.swarm.holdings import Holdings
from orchestrator.swarm.wire import About, NodeNews, render_news

_LONGEST = 5.0
"""Seconds until a poll is answered without news."""
_LEAST = 0.1
"""Seconds until a poll is answered with news at the earliest, so that these come together."""
_MOST, _MOST_A_SECOND = 2.5, 100
"""Most seconds of that wait, and polls that are to be answered a second: where many nodes ask, each waits longer."""
_MOST_MADE = 64

_Told = tuple[int, bytes]
"""The version up to which news tell, and the news as they are sent."""


class Polls:
    """Answers polls with the news of this node. What is told to many is made once. For the thread of the event loop,
    but for `close`."""

    def __init__(self, holdings: Holdings, me: About, pool: Executor) -> None:
        self._holdings = holdings
        self._me = me
        self._making = Once(pool)
        self._made: dict[int, _Told] = {}
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._is_woken = False
        self._waiting = 0
        self._leave: Callable[[], None] | None = None

    async def news(self, after: int | None) -> bytes | None:
        """The news after a version, as soon as there are some; None when there are none for a while. With None all that
        there is, at once."""
        self._subscribe()
        if after is None:
            return (await self._told(0))[1]
        self._waiting += 1
        try:
            async with asyncio.timeout(_LONGEST):
                await self._until_over(min(_MOST, max(_LEAST, self._waiting / _MOST_A_SECOND)))
                while not self._over.is_set():
                    change = self._changed
                    version, body = await self._told(after)
                    if version > after:
                        return body
                    await change.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
        return None

    def close(self) -> None:
        """Answer all who wait, since this node leaves. For any thread."""
        if self._leave is not None:
            self._leave()

    def _subscribe(self) -> None:
        """Begin to hear of changes, which other threads tell."""
        if self._leave is not None:
            return
        loop = asyncio.get_running_loop()

        def soon(call: Callable[[], None]) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(call)

        def changed() -> None:
            if not self._is_woken:
                self._is_woken = True
                soon(self._wake)

        unsubscribe = self._holdings.subscribe(changed)

        def leave() -> None:
            unsubscribe()
            soon(self._end)

        self._leave = leave

    def _end(self) -> None:
        self._over.set()
        self._wake()

    def _wake(self) -> None:
        self._is_woken = False
        self._made.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until_over(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def _told(self, after: int) -> _Told:
        if (made := self._made.get(after)) is not None:
            return made
        change = self._changed
        made = await self._making.do(after, partial(self._make, after), _LONGEST)
        if change is self._changed and len(self._made) < _MOST_MADE:
            self._made[after] = made
        return made

    def _make(self, after: int) -> _Told:
        news = self._holdings.news(after)
        return news.version, render_news(NodeNews(self._me.node, self._me.epoch, news, self._me.cache))
