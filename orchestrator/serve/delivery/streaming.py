"""Bytes of a file to one client, from where they lie or while they arrive; `allowed` is the rule of what may go out."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from orchestrator.cache.proofs import stamp
from orchestrator.core.plan import Found
from orchestrator.depot.watch import State, Watch
from orchestrator.errors import TemporaryError
from orchestrator.platform.open_flags import AT_ONCE
from orchestrator.platform.places import read_at, read_into
from orchestrator.serve.delivery.handed import Handed
from orchestrator.serve.delivery.ranges import Excerpt
from orchestrator.serve.http.clients import Manner
from orchestrator.serve.http.kernel import SendFile
from orchestrator.serve.http.once import PATIENCE
from orchestrator.system.small_files import open_regular

KEEPING = 4.0
"""Seconds between two words to a client that is kept waiting."""
LAST_PIECE = 1 << 20
"""Bytes at the end of an answer that go out after the proof only."""
_AHEAD = 2 << 20
"""Bytes behind those that were sent which are to come before others."""
_CHUNK = 256 << 10
_PIECE = 1 << 20
"""Bytes that the kernel is to send at a time."""
_HERE = (State.PROVEN, State.PLACED)

F = TypeVar("F", bound="OpenFile")
Send = Callable[[bytes | bytearray], Awaitable[None]]
"""A call that sends a piece of a body. It may return without a wait: a loop lets others run between two of them."""


class Awaited:
    """A blob on its way, as the event loop waits for it; its thread alone uses this."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._changed = asyncio.Event()
        self._ahead = -1
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(self._wake)

        watch.subscribe(wake)

    @property
    def change(self) -> asyncio.Event:
        """Set at the next change: to be taken before the state is looked at."""
        return self._changed

    def look_ahead(self, at: int, end: int) -> None:
        """Have what comes next to a reader at this position fetched before the rest, up to `end`."""
        if at < end and at + _AHEAD // 2 > self._ahead:
            self._ahead = min(at + _AHEAD, end)
            self.watch.want(((at, self._ahead),))

    def close(self) -> None:
        """Give the want back."""
        self.watch.close()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def allowed(watch: Watch, cut: Excerpt, at: int, manner: Manner) -> int:
    """The end of the bytes from `at` on that may go to a client of this manner now.

    Raises what ended the arrival, if that was not the proof.
    """
    state = watch.state
    if state in _HERE:
        return cut.end
    if state is State.LOST:
        raise watch.error or TemporaryError(f"{watch.job.name!r} did not arrive")
    end = min(watch.arrived.reach(at), cut.end)
    if manner is Manner.HASHES:
        return end
    if manner is Manner.STARTS_OVER and state is not State.SUSPECT and cut.starts_over:
        return max(at, min(end, cut.end - LAST_PIECE))
    return at


async def until_ready(awaited: Awaited, cut: Excerpt, manner: Manner, keep: Callable[[], None] | None) -> bool:
    """Wait until a first byte may go out. Where `keep` keeps the client waiting, as long as that takes; else False
    after a while. Raises as `allowed`."""
    while not await is_ready(awaited, cut, manner, PATIENCE if keep is None else KEEPING):
        if keep is None:
            return False
        keep()
    return True


async def until_placed(awaited: Awaited) -> None:
    """Wait until a proven blob is where it is looked for: on its way there it may be seen nowhere. Raises what ended
    the arrival, if that was not its placing."""
    watch = awaited.watch
    while not watch.has_ended:
        change = awaited.change
        if not watch.has_ended:
            await change.wait()
    if watch.state is State.LOST:
        raise watch.error or TemporaryError(f"{watch.job.name!r} could not be placed")


async def is_ready(awaited: Awaited, cut: Excerpt, manner: Manner, seconds: float) -> bool:
    """Wait until a first byte may go out; False if that takes longer. Raises as `allowed`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        change = awaited.change
        if allowed(awaited.watch, cut, cut.start, manner) > cut.start or cut.start == cut.end:
            return True
        left = until - loop.time()
        if left <= 0:
            return False
        with suppress(TimeoutError):
            await asyncio.wait_for(change.wait(), left)


class Opened(NamedTuple):
    """A file as the cache has it, and a descriptor, which stays good for reading when the name goes: None when another
    file lies there by now, or it never was proven."""

    found: Found
    fd: int | None

    @property
    def is_unchanged(self) -> bool:
        """True when nobody has written to the file since it was proven: its owner may, in a cache of a group."""
        return self.fd is not None and stamp(os.fstat(self.fd)) == self.found.stamp


class OpenFile(Protocol):
    """A file that was opened to be sent, and whether its bytes still are the right ones."""

    @property
    def fd(self) -> int | None:
        """A descriptor to read from; None when there is no such file."""

    @property
    def is_unchanged(self) -> bool:
        """True when what was read until now counts."""


@asynccontextmanager
async def opened(look: Callable[[], Found], pool: Executor) -> AsyncIterator[Opened]:
    """Look for a file in the cache, and open it if it is proven."""

    def step() -> Opened:
        found = look()
        return Opened(found, _open_proven(found))

    async with opened_by(step, pool) as one:
        yield one


@asynccontextmanager
async def opened_by(step: Callable[[], F], pool: Executor) -> AsyncIterator[F]:
    """The file that a step opens in a thread. It is closed in the end, also where nobody waits for it any more."""
    opening = asyncio.get_running_loop().run_in_executor(pool, step)
    try:
        one = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_late)
        raise
    try:
        yield one
    finally:
        _close(one.fd)


async def _by_hand(_fd: int, _at: int, _count: int) -> bool:
    return False


async def send_file(one: OpenFile, cut: Excerpt, send: Send, pool: Executor, by_kernel: SendFile = _by_hand) -> bool:
    """Send bytes of a file, the last ones only if it still is as it was when it was opened: else False. `by_kernel`
    saves a copy of those before."""
    at, fd = cut.start, one.fd
    if fd is None:
        return False
    while at < cut.end:
        count = min(_PIECE, cut.end - _CHUNK - at)
        if count >= _CHUNK and await by_kernel(fd, at, count):
            at += count
            continue
        data = await _read(fd, at, min(_CHUNK, cut.end - at), pool)
        if not data or (at + len(data) >= cut.end and not one.is_unchanged):
            return False
        await send(data)
        await asyncio.sleep(0)
        at += len(data)
    return True


async def send_arriving(  # noqa: PLR0917 - what is sent, to whom, and what is remembered of it
    awaited: Awaited, epoch: int, cut: Excerpt, manner: Manner, send: Send, handed: Handed, pool: Executor
) -> int:
    """Send bytes of a blob while it arrives, as far as they may go out; where the next one is to come from.

    `epoch` is that in which `cut` was right. At `cut.start`, with nothing sent, the blob is no longer where it arrived,
    and is in the cache. Raises what ended the arrival, and TemporaryError when the client may have bytes that are not
    those of the file: then the answer must be broken off.
    """
    watch = awaited.watch
    at, fd = cut.start, None
    has_bytes = cut.start > 0 and manner is Manner.STARTS_OVER
    is_noted = manner is not Manner.STARTS_OVER
    loop = asyncio.get_running_loop()
    try:
        while at < cut.end:
            change = awaited.change
            end = allowed(watch, cut, at, manner)
            if watch.epoch != epoch:
                if at > cut.start or has_bytes:
                    raise TemporaryError(f"{watch.job.name!r} is fetched again, since its bytes were wrong")
                _close(fd)
                epoch, fd = watch.epoch, None
                continue
            if end > at and not is_noted and watch.state not in _HERE:
                is_noted = await loop.run_in_executor(pool, handed.begin, watch.job.digest, epoch)
                if not is_noted:
                    manner = Manner.ASKS_AGAIN
                continue
            if manner in (Manner.HASHES, Manner.STARTS_OVER):
                awaited.look_ahead(at, cut.end)
            if end <= at:
                await change.wait()
                continue
            if fd is None and (fd := await loop.run_in_executor(pool, _open_part, watch.part)) is None:
                return at
            data = await _read(fd, at, min(_CHUNK, end - at), pool)
            if watch.epoch != epoch:
                continue
            if not data:
                return at
            await send(data)
            await asyncio.sleep(0)
            at += len(data)
    finally:
        _close(fd)
    return at


def retry_after(watch: Watch, rate: float) -> int:
    """Seconds after which a client should ask again, by the bytes a second that came while it waited."""
    left = watch.job.size - watch.arrived.total
    return min(300, max(2, round(left / rate * 1.1) if rate > 0 else 10))


def _open_proven(found: Found) -> int | None:
    """The very file that was proven: in a cache that a group writes to, another may lie there by now."""
    if found.path is None or found.stamp is None:
        return None

    def judge(opened: os.stat_result) -> None:
        if stamp(opened) != found.stamp:
            raise OSError(errno.ESTALE, "another file than the one that was proven")

    try:
        return open_regular(found.path, follow=True, judge=judge)  # a blob may be a link within the cache
    except OSError:
        return None


def _open_part(path: Path) -> int | None:
    try:
        return open_regular(path)
    except OSError:
        return None


def _close_late(opening: asyncio.Future[F]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result().fd)


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


async def _read(fd: int, at: int, count: int, pool: Executor) -> bytes | bytearray:
    """Read what is in memory at once, and leave to a thread what has to come from the disk."""
    if AT_ONCE:
        buffer = bytearray(count)
        with suppress(OSError):
            found = read_into(fd, buffer, at, AT_ONCE)
            if found:
                return buffer if found == count else buffer[:found]
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, read_at, fd, count, at)
    except OSError:
        return b""
