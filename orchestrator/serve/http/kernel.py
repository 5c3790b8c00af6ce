"""Files that the kernel sends: from the page cache to the socket, without a copy in this process."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.platform.files import device_number
from orchestrator.platform.open_flags import AT_ONCE
from orchestrator.platform.places import read_at, read_into
from orchestrator.platform.sockets import CORK, send_file

_NAME = "glm_aria.send_file"
_STEP = 128 << 10
"""Bytes from one look to the next whether a file is in memory; the system reads ahead as much, and more."""
_BY_HAND = 128 << 10
"""Bytes that are written to a connection which takes no more now: it says when it has taken them."""

SendFile = Callable[[int, int, int], Awaitable[bool]]
"""A call that sends bytes of an open file as a piece of a body whose length is known: descriptor, offset, and count.
False when nothing was sent, since this must go another way. Raises ConnectionAbortedError when the connection broke,
also where the file is shorter by now."""


class KernelProtocol(H11Protocol):
    """uvicorn's connection, for which the kernel sends files."""

    def offer_to_send_files(self, scope: Scope) -> None:
        """Offer it as an extension of the scope. TLS is made in this process."""
        if AT_ONCE and scope["scheme"] == "http":
            scope["extensions"] = {**scope.get("extensions", {}), _NAME: self._send_file}

    def passed_by(self, count: int) -> None:
        """Note bytes that went to the socket, and not through the transport."""

    async def _send_file(self, fd: int, at: int, count: int) -> bool:
        if self.transport.is_closing():
            raise ConnectionAbortedError
        if not _is_in_memory(fd, at, count):
            return False
        self.conn.send_with_data_passthrough(h11.Data(data=cast(Any, _Counted(count))))
        # Paused until the last byte that was written is out, so that the kernel may send what comes behind it.
        self.transport.set_write_buffer_limits(0)
        end = at + count
        self._hold_together(1)
        try:
            while at < end:
                if self.flow.write_paused:
                    await self.flow.drain()
                else:
                    await asyncio.sleep(0)
                at += self._send_some(fd, at, end)
        except OSError:
            if not self.transport.is_closing():  # asyncio cannot abort what has closed after its last byte
                self.transport.abort()
            raise ConnectionAbortedError from None
        finally:
            self._hold_together(0)
        return True

    def _hold_together(self, value: int) -> None:
        """Have the system send full segments only, or what is left of them: a fifth less of its time for each byte."""
        connection = self.transport.get_extra_info("socket")
        if CORK and connection is not None:
            with suppress(OSError):  # it may be closed
                connection.setsockopt(socket.IPPROTO_TCP, CORK, value)

    def _send_some(self, fd: int, at: int, end: int) -> int:
        """Send what goes at once; its count. Raises OSError where that is nothing."""
        if self.transport.is_closing():
            raise ConnectionAbortedError
        if not self.transport.get_write_buffer_size():
            with suppress(BlockingIOError):
                sent = send_file(self.transport.get_extra_info("socket").fileno(), fd, at, end - at)
                if not sent:
                    raise ConnectionAbortedError
                self.passed_by(sent)
                return sent
        data = read_at(fd, min(_BY_HAND, end - at), at)
        if not data:
            raise ConnectionAbortedError
        self.transport.write(data)
        return len(data)


def send_file_in(scope: Scope) -> SendFile | None:
    """The call that has the kernel send files in answer to this request; None where it cannot."""
    return cast(SendFile | None, scope.get("extensions", {}).get(_NAME))


class _Counted:
    """Stands for bytes that h11 only counts."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


def _is_in_memory(fd: int, at: int, count: int) -> bool:
    """True when no read of the disk would stop the event loop, as far as a look here and there tells."""
    byte = bytearray(1)
    places = (*range(at, at + count, _STEP), at + count - 1)
    try:
        return all(read_into(fd, byte, place, AT_ONCE) for place in places)
    except OSError as error:  # a tmpfs does not know the flag
        return error.errno == errno.EOPNOTSUPP and _has_no_disk(os.fstat(fd).st_dev)


@lru_cache(64)
def _has_no_disk(device: int) -> bool:
    """True for a file system that is memory, of this number."""
    number = device_number(device)
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            mount, _, kind = line.partition(" - ")
            if mount.split()[2] == number:
                return kind.split()[0] in ("tmpfs", "ramfs")
    return False
