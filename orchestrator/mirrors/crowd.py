"""Connections that read and discard, counted together, to measure what they bring.

One stays open and reads on while further ones join it. So the first ones are past the slow start of TCP when the last
ones are judged: the rate is what the line gives, not how fast connections begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from threading import Condition, Thread

from orchestrator.errors import GlmAriaError
from orchestrator.net.answers import Stream
from orchestrator.system.threads import try_start

Open = Callable[[int], AbstractContextManager[Stream]]
"""Opens a range of a file: another number, another range. Raises GlmAriaError."""

_LEAST_SECONDS = 1e-4


class Crowd:
    """Connections that read and discard, counted together. `most` bounds the ranges that all of them ask for.

    `error` is one that ended a connection.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._changed = Condition()
        self._streams: list[Stream] = []
        self._numbers = count()
        self._bytes = self._opening = self._alive = 0
        self._since, self._mark = (time.monotonic(), 0), 0
        self._is_closed = False
        self.error: GlmAriaError | None = None

    def join(self, open_one: Open, number: int) -> None:
        """Let so many more read; fewer where the system grants fewer threads."""
        with self._changed:
            self._since = (time.monotonic(), self._bytes)
        for _ in range(number):
            with self._changed:
                self._opening += 1
                self._alive += 1
            if not try_start(Thread(target=self._read, args=(open_one,), daemon=True)):
                self._ended(is_opening=True)
                return

    def rate(self, seconds: float, most: int, patience: float) -> float | None:
        """Bytes/s of all, over so many seconds or bytes once all that joined are answered; None when nothing came.

        Those that are not answered after `patience` seconds are not waited for. Where so many bytes come before, it is
        the rate until then: such a line is quicker than connections begin.
        """
        with self._changed:
            self._mark = self._since[1] + most
            self._changed.wait_for(lambda: not self._opening or self._is_full(), patience)
            if self._opening and not self._is_full():
                self._since = (time.monotonic(), self._bytes)
            begun, before = self._since
            self._mark = before + most
            left = begun + seconds - time.monotonic()
            self._changed.wait_for(self._is_full, max(left, 0))
            came = self._bytes - before
            return came / max(time.monotonic() - begun, _LEAST_SECONDS) if came or self._alive else None

    def close(self) -> None:
        """End all of them, without waiting for any."""
        with self._changed:
            self._is_closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.abort()

    def _is_full(self) -> bool:
        return not self._alive or self._bytes >= self._mark

    def _answered(self) -> None:
        self._opening -= 1
        if not self._opening:
            if not self._is_full():
                self._since = (time.monotonic(), self._bytes)
            self._changed.notify_all()

    def _ended(self, *, is_opening: bool) -> None:
        with self._changed:
            if is_opening:
                self._answered()
            self._alive -= 1
            self._changed.notify_all()

    def _asks(self) -> bool:
        """True for one more range."""
        with self._changed:
            self._left -= 1
            return self._left >= 0 and not self._is_closed

    def _read(self, open_one: Open) -> None:
        is_opening = True
        try:
            while self._asks():
                with open_one(next(self._numbers)) as stream, self._kept(stream):
                    if is_opening:
                        with self._changed:
                            self._answered()
                    is_opening = False
                    self._count(stream.chunks())
        except GlmAriaError as error:
            # A connection more than the server grants: the others tell what it gives.
            self.error = error
        finally:
            self._ended(is_opening=is_opening)

    def _count(self, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            with self._changed:
                self._bytes += len(chunk)
                if self._bytes >= self._mark:
                    self._changed.notify_all()
                if self._is_closed:
                    return

    @contextmanager
    def _kept(self, stream: Stream) -> Iterator[None]:
        with self._changed:
            self._streams.append(stream)
        try:
            yield
        finally:
            with self._changed:
                self._streams.remove(stream)
