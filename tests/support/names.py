"""A DNS server on loopback that answers every question for an IPv4 address with 127.0.0.1 (RFC 1035)."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_A, _IN = 1, 1


class NameServer(socketserver.UDPServer):
    """`asked` holds the names, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answer(socketserver.BaseRequestHandler):
    server: NameServer

    def handle(self) -> None:
        data, sock = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii"))
            at += 1 + data[at]
        kind, _ = struct.unpack(">HH", data[at + 1 : at + 5])
        self.server.asked.append(".".join(labels))
        answers = [struct.pack(">HHHIH4s", 0xC00C, _A, _IN, 30, 4, bytes([127, 0, 0, 1]))] if kind == _A else []
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(answers), 0, 0)
        sock.sendto(head + data[12 : at + 5] + b"".join(answers), self.client_address)


@contextmanager
def name_server() -> Iterator[NameServer]:
    """Serves until the block ends."""
    with NameServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
