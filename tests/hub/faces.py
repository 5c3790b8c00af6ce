"""A face: one listening socket, its shape and its faults, and the loop that reads requests and sends replies.

Where no rate applies and the content is a file, the kernel sends it (`loop.sendfile`); everything else goes through the
stream writer in chunks. All faces of a hub live on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable

from tests.hub.faults import FaultSet
from tests.hub.log import Exchange, RequestLog
from tests.hub.shaping import Bucket, Pacer, Shape
from tests.hub.wire import Reply, Request

if sys.platform != "win32":
    import fcntl
    import termios

_SENDFILE_CHUNK = 8 << 20
_WRITE_CHUNK = 256 << 10
_UNREAD = 64 << 10
"""How much of a paced body may wait in the kernel, so that what was sent is about what the client has read."""
_connections = itertools.count(1)

Handler = Callable[[Request], Reply]


class Face:
    """A listener at `address`, with a port that the system chooses. `host` is the name in its URL."""

    def __init__(
        self,
        name: str,
        handler: Handler,
        log: RequestLog,
        *,
        host: str = "127.0.0.1",
        address: str = "127.0.0.1",
        shape: Shape | None = None,
        faults: FaultSet | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name, self.handler, self.host, self.tls = name, handler, host, tls
        self._address = address
        self.faults = faults or FaultSet()
        self.port = 0
        self.errors: list[str] = []
        """Requests that the handler raised at, answered with 500."""
        self._log = log
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._is_stopped = False
        self._is_flowing = asyncio.Event()
        self._is_flowing.set()
        self.shape = shape or Shape()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def shape(self) -> Shape:
        """May be set while serving; it holds for requests that come after."""
        return self._shape

    @shape.setter
    def shape(self, shape: Shape) -> None:
        self._shape = shape
        self._total = Bucket(shape.total_rate) if shape.total_rate else None

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, self._address, 0, ssl=self.tls, backlog=1024, limit=256 << 10
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def hold(self) -> None:
        """Send no more of any body until `flow`; requests are read and logged."""
        self._is_flowing.clear()

    async def flow(self) -> None:
        self._is_flowing.set()

    async def stop(self) -> None:
        """End all connections, and each that is still to come of what the system has accepted."""
        self._is_stopped = True
        if self._server is not None:
            self._server.close()
        for _ in range(5):  # rounds of the loop, until a connection that was accepted just before has its transport
            await asyncio.sleep(0)
        for task, writer in tuple(self._tasks.items()):
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that is known before its first step, so that `stop` finds it."""
        if self._is_stopped:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        # Cancellation is how the face stops; letting it out of here would only make asyncio print it.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if self.shape.latency_s:
                await asyncio.sleep(self.shape.latency_s)
            while await connection.exchange():
                pass
            writer.close()
            return
        writer.transport.abort()

    def answer(self, request: Request) -> Reply:
        return self.faults.apply(request, self.handler(request))

    def pacer(self, own: Bucket | None, reply: Reply) -> Pacer | None:
        """What bounds this reply's rate; None when nothing does."""
        buckets = [bucket for bucket in (self._total, own) if bucket is not None]
        if reply.rate is not None:
            buckets.append(Bucket(reply.rate))
        return Pacer(buckets) if buckets else None


class _Connection:
    def __init__(self, face: Face, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._face, self._reader, self._writer = face, reader, writer
        self._number = next(_connections)
        self._client = str(writer.get_extra_info("peername")[0])
        self._bucket: Bucket | None = None

    async def exchange(self) -> bool:
        """Serve one request; True if the connection can take another."""
        request = await self._read()
        if request is None:
            return False
        face, log = self._face, self._face._log
        entry = Exchange(
            face=face.name,
            method=request.method,
            path=request.path,
            query=request.query_string,
            range=request.headers.get("range"),
            authorization=request.headers.get("authorization"),
            token=request.token,
            user_agent=request.headers.get("user-agent"),
            client=self._client,
            connection=self._number,
            start=time.monotonic(),
            headers=request.headers,
        )
        log.begin(entry)
        try:
            if face.shape.latency_s:
                await asyncio.sleep(face.shape.latency_s)
            try:
                reply = face.answer(request)
            except Exception as error:
                reply = Reply(500, {"X-Error-Message": f"loopback server: {error!r}"[:500].replace("\n", " ")})
                entry.fault = "server error"
                face.errors.append(f"{request.method} {request.path}: {error!r}")
            return await self._send(request, reply, entry)
        finally:
            log.end(entry)

    async def _read(self) -> Request | None:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, target, version = lines[0].split(" ", 2)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            # The end of the connection, or not HTTP: either way there is nothing to answer.
            return None
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length", 0))
        body = await self._reader.readexactly(length) if length else b""
        return Request(method, target, headers, body, version == "HTTP/1.0")

    async def _send(self, request: Request, reply: Reply, entry: Exchange) -> bool:
        framed = reply.declared is not None and reply.ending in ("keep", "stall", "reset")
        wants_close = request.headers.get("connection", "").lower() == "close" or request.http10
        keep_alive = framed and not wants_close
        # A server that is about to break off does not announce it.
        announced = keep_alive or (reply.ending == "close" and reply.declared is not None and not wants_close)
        entry.status, entry.file, entry.fault = reply.status, reply.file, reply.fault or entry.fault
        head = reply.head(keep_alive=announced)
        if request.method == "HEAD":
            self._writer.write(head)
            await self._writer.drain()
            return keep_alive
        length = reply.length if reply.stop_after is None else min(reply.stop_after, reply.length)
        try:
            await self._body(reply, head, length, entry)
            while reply.ending == "repeat":
                await self._body(reply, b"", max(length, 1), entry)
        except OSError:
            entry.bytes_sent -= min(self._writer.transport.get_write_buffer_size(), entry.bytes_sent)
            raise
        if reply.ending == "stall":
            while await self._reader.read(65536):
                pass
            return False
        if reply.ending == "reset":
            sock = self._writer.get_extra_info("socket")
            await self._delivered(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
            return False
        return keep_alive

    async def _delivered(self, sock: socket.socket) -> None:
        """Wait (at most 0.5 s) until the kernel has sent what was written: a reset throws the rest away."""
        for _ in range(100):
            unsent = self._writer.transport.get_write_buffer_size()
            if sys.platform != "win32":
                with contextlib.suppress(OSError):
                    unsent += int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
            if not unsent:
                return
            await asyncio.sleep(0.005)

    async def _body(self, reply: Reply, head: bytes, length: int, entry: Exchange) -> None:
        pacer = self._face.pacer(self._own_bucket(), reply)
        writer, content, flowing = self._writer, reply.content, self._face._is_flowing
        await flowing.wait()
        if pacer is None and content.path is None and length <= _WRITE_CHUNK:
            entry.bytes_sent += length
            writer.write(head + content.read(reply.start, length) if length else head)
            await writer.drain()
            return
        writer.write(head)
        if pacer is None and content.path is not None:
            await self._sendfile(reply, length, entry)
            return
        if pacer is not None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        with pacer or contextlib.nullcontext():
            done, chunk = 0, pacer.chunk if pacer else _WRITE_CHUNK
            while done < length:
                count = min(chunk, length - done)
                if pacer is not None:
                    await pacer.wait(count)
                await flowing.wait()
                entry.bytes_sent += count
                writer.write(content.read(reply.start + done, count))
                await writer.drain()
                done += count
        await writer.drain()

    async def _sendfile(self, reply: Reply, length: int, entry: Exchange) -> None:
        loop, path = asyncio.get_running_loop(), reply.content.path
        assert path is not None
        with path.open("rb") as handle:
            done = 0
            while done < length:
                count = min(_SENDFILE_CHUNK, length - done)
                await self._face._is_flowing.wait()
                entry.bytes_sent += count
                begin = reply.start + done
                try:
                    await loop.sendfile(self._writer.transport, handle, begin, count)
                except BaseException:
                    # The loop leaves the file's position where the sending stopped.
                    entry.bytes_sent -= min(max(begin + count - handle.tell(), 0), count)
                    raise
                done += count

    def _own_bucket(self) -> Bucket | None:
        rate = self._face.shape.rate_per_connection
        if rate is None:
            return None
        if self._bucket is None or self._bucket.rate != rate:
            self._bucket = Bucket(rate)
        return self._bucket
