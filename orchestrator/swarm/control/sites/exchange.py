"""The exchange of two sites on one connection: both say the same, the caller and the called."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol

from orchestrator.core.versions import Vector
from orchestrator.errors import ProtocolError, TemporaryError
from orchestrator.swarm.control.loops import until_one_ends
from orchestrator.swarm.control.sites import codec
from orchestrator.swarm.control.sites.states import MOST_NODES, SiteNews
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.trust import LOST_AFTER

_HELLO = 4.0
"""Seconds for the other side to say which site it is."""
_LOOK = 0.5
"""Seconds between two looks whether something is new here."""
_BEAT = 1.0
"""Seconds between two signs of life, at most."""
_SHARE, _LEAST_REST = 3, 0.05
"""What was taken of another site is followed by a rest of so many times what that took of the loop, which others need,
too; when it comes to so many seconds."""

Write = Callable[[pb.StateDelta], Awaitable[object]]


class SiteDesk(Protocol):
    """The side of a scheduler that speaks to other sites: what it knows, and what it learns.

    For one event loop; nothing waits."""

    @property
    def site(self) -> str:
        """The name of this site."""

    def begin(self, other: str) -> Vector:
        """A connection to another site begins; what was seen of its nodes. Raises ProtocolError."""

    def take(self, other: str, news: SiteNews | None) -> None:
        """Take news, or a sign of life. Raises ProtocolError."""

    def news(self, seen: Vector) -> Iterable[SiteNews]:
        """The news to who has seen so much."""

    def end(self, other: str, why: str) -> None:
        """A connection to another site has ended."""


async def exchange(desk: SiteDesk, heard: AsyncIterator[pb.StateDelta], write: Write, *, is_caller: bool) -> None:
    """Tell the other side all that is new to it, and take what it tells, until one of both ends, or falls silent. Who
    was called says its name first.

    Raises ProtocolError for what has no meaning, TemporaryError where the other one does not even say who it is.
    """
    if not is_caller:
        await write(codec.hello(desk.site))
    other = codec.said_site(await _next(heard, _HELLO))
    if is_caller:
        await write(codec.hello(desk.site))
    if other == desk.site:
        raise ProtocolError(f"both sites are called {other}: each needs a name of its own (--site)")
    why = "it ended the connection"
    seen = _Seen()
    known = desk.begin(other)
    try:
        for part in codec.vector(known):
            await write(part)
        await until_one_ends(_hear(desk, other, heard, seen), _tell(desk, seen, write))
    except TemporaryError as error:
        why = error.message
    finally:
        desk.end(other, why)


class _Seen:
    """The vector of what the other side has seen, once it has said so."""

    def __init__(self) -> None:
        self.vector = Vector()
        self.is_known = asyncio.Event()


async def _hear(desk: SiteDesk, other: str, heard: AsyncIterator[pb.StateDelta], seen: _Seen) -> None:
    rest = 0.0
    while True:
        if rest >= _LEAST_REST:
            await asyncio.sleep(rest)
            rest = 0.0
        found = await _next(heard, LOST_AFTER)
        begun = time.monotonic()
        match found.WhichOneof("said"):
            case "seen" if not seen.is_known.is_set():
                seen.vector |= codec.said_vector(found.seen)
                if len(seen.vector.clocks) > MOST_NODES:
                    raise ProtocolError("a site has seen more nodes than there can be")
                if found.seen.last:
                    seen.is_known.set()
                desk.take(other, None)
            case "node":
                desk.take(other, codec.said_news(found.node))
            case "beat":
                desk.take(other, None)
            case _:
                raise ProtocolError("a site sent a message that says nothing: is it of another version?")
        rest += _SHARE * (time.monotonic() - begun)


async def _tell(desk: SiteDesk, seen: _Seen, write: Write) -> None:
    await seen.is_known.wait()
    quiet = _BEAT
    while True:
        told = tuple(desk.news(seen.vector))
        for news in told:
            for delta in codec.deltas(news):
                await write(delta)
        if told:
            seen.vector |= Vector({news.node.node: news.node.clock for news in told})
            quiet = 0.0
        elif quiet >= _BEAT:
            await write(codec.beat())
            quiet = 0.0
        await asyncio.sleep(_LOOK)
        quiet += _LOOK


async def _next(heard: AsyncIterator[pb.StateDelta], seconds: float) -> pb.StateDelta:
    try:
        async with asyncio.timeout(seconds):
            return await anext(heard)
    except (TimeoutError, StopAsyncIteration):
        raise TemporaryError("the other site says nothing any more") from None
