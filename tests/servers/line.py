"""A line to a server on loopback: a port of its own whose traffic has a rate and a delay, and is counted.

The rate is that of all connections together, in each direction. A connection takes a round trip to be made, and TCP's
slow start and loss are left out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_BLOCK = 64 * 1024
_OnItsWay = asyncio.Queue[tuple[float, bytes]]
"""Blocks with the time at which each is there; an empty one is the end."""


@dataclass(frozen=True, slots=True)
class LineShape:
    """`rate` in bytes per second, and the seconds of one way."""

    rate: float
    delay_s: float


@dataclass
class _Way:
    """What goes one way: the bytes so far, and when the last of them will have left the sender."""

    bytes: int = 0
    free_at: float = field(default_factory=time.monotonic)

    async def leave(self, count: int, rate: float) -> None:
        """Return when so many bytes have left."""
        self.bytes += count
        self.free_at = max(self.free_at, time.monotonic()) + count / rate
        await asyncio.sleep(self.free_at - time.monotonic())


class Line:
    """A context manager: while it is open, what comes to `host` goes on to `port` of 127.0.0.1."""

    def __init__(self, port: int, shape: LineShape) -> None:
        self._target, self._shape = port, shape
        self._up, self._down = _Way(), _Way()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line")

    def __enter__(self) -> Self:
        self._thread.start()
        opening = asyncio.start_server(self._connect, "127.0.0.1", 0, backlog=512)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def host(self) -> str:
        port: int = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def moved(self) -> int:
        """Bytes so far, in both directions."""
        return self._up.bytes + self._down.bytes

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * self._shape.delay_s)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                for source, sink, way in ((reader, far_writer, self._up), (far_reader, writer, self._down)):
                    on_its_way: _OnItsWay = asyncio.Queue()
                    group.create_task(self._depart(source, way, on_its_way))
                    group.create_task(_arrive(on_its_way, sink))
        except* OSError:
            pass  # one of them hung up, which the other sees
        finally:
            far_writer.close()
            writer.close()

    async def _depart(self, source: asyncio.StreamReader, way: _Way, on_its_way: _OnItsWay) -> None:
        block = b"begin"
        while block:
            block = await source.read(_BLOCK)
            await way.leave(len(block), self._shape.rate)
            on_its_way.put_nowait((time.monotonic() + self._shape.delay_s, block))


async def _arrive(on_its_way: _OnItsWay, sink: asyncio.StreamWriter) -> None:
    """Hand over each block when it is due, and at last that the sender has ended."""
    while True:
        due, block = await on_its_way.get()
        await asyncio.sleep(due - time.monotonic())
        if not block:
            sink.write_eof()
            return
        sink.write(block)
        await sink.drain()
