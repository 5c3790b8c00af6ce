"""A name server on loopback that says what a test tells it to, after a delay, or nothing at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class Nameserver:
    """`names` maps a name to its IPv4 addresses; others do not exist. `asked` holds (name, type) of each query.

    It answers nothing while it is `silent`, and becomes so when it is asked for the name `dies_at`. Questions of the
    type `drops` it never answers.
    """

    def __init__(self, names: Mapping[str, tuple[str, ...]], delay_s: float, port: int, address: str) -> None:
        self.names, self.delay_s = dict(names), delay_s
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.dies_at: str | None = None
        self.drops: str | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.address, self.port = self._socket.getsockname()

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    def serve(self) -> None:
        while True:
            try:
                data, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            threading.Thread(target=self._answer, args=(data, sender), daemon=True).start()

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (self.address, self.port))

    def close(self) -> None:
        self._socket.close()

    def _answer(self, data: bytes, sender: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = str(question.name).rstrip(".").lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        self.silent = self.silent or name == self.dies_at
        if self.silent or kind == self.drops:
            return
        time.sleep(self.delay_s)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if name not in self.names:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == "A" and self.names[name]:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", *self.names[name]))
        self._socket.sendto(reply.to_wire(), sender)


@contextmanager
def nameserver(
    names: Mapping[str, tuple[str, ...]], *, delay_s: float = 0.0, port: int = 0, address: str = "127.0.0.1"
) -> Iterator[Nameserver]:
    """A server that answers until the block ends."""
    server = Nameserver(names, delay_s, port, address)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
        server.close()
