"""Round trips and late packets of the TCP connections of a process.

Asked over netlink as `ss -ti` does (sock_diag(7); `struct tcp_info` in linux/tcp.h). On other systems nothing is known.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.platform.sockets import diagnosis

_SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, _DONE, _ERROR = 20, 0x301, 3, 2
_INET_DIAG_INFO = 2
_ESTABLISHED = 1 << 1
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48x")
_PORT_AND_PEER, _INODE, _MESSAGE_SIZE = struct.Struct("!4xH18x16s"), struct.Struct("=68xI"), 72  # of inet_diag_msg
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 1 << 18


@dataclass(frozen=True, slots=True)
class TcpPath:
    """One established connection, as its receiver sees it. Seconds, bytes and packets; `port` is on this side, `peer`
    the address of the other, `family` 4 or 6.

    `least_round_trip` is the shortest ever; `round_trip` is how long the answer to what it acknowledges takes now, so
    the queues on the way included; 0 while unknown. `late` packets came out of order, as after each loss.
    """

    family: int
    port: int
    peer: bytes
    least_round_trip: float
    round_trip: float
    received: int
    packets: int
    late: int


def paths_of(pid: int) -> tuple[TcpPath, ...]:
    """The connections of a process that have received anything. Empty where the system does not tell."""
    if sys.platform != "linux":
        return ()
    with suppress(OSError, struct.error):
        inodes = _sockets(pid)
        families = (socket.AF_INET, socket.AF_INET6)
        return tuple(path for family in families for path in _paths(family, inodes) if path.received)
    return ()


def _sockets(pid: int) -> frozenset[int]:
    found = set()
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                kind, _, inode = os.readlink(entry.path).partition("socket:[")  # noqa: PTH115 - hundreds
                if not kind and inode:
                    found.add(int(inode[:-1]))
    return frozenset(found)


def _paths(family: int, inodes: frozenset[int]) -> Iterator[TcpPath]:
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, _ESTABLISHED)
    with diagnosis() as asking:
        asking.settimeout(1)
        asking.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + request)
        while True:
            answer, at = asking.recv(_RECEIVE), 0
            while at < len(answer):
                length, kind, *_ = _HEADER.unpack_from(answer, at)
                if kind in (_DONE, _ERROR):
                    return
                message = answer[at + _HEADER.size : at + length]
                if _INODE.unpack_from(message)[0] in inodes:
                    version = 6 if family == socket.AF_INET6 else 4
                    yield from _read((version, *_PORT_AND_PEER.unpack_from(message)), message[_MESSAGE_SIZE:])
                at += (length + 3) & ~3


def _read(ends: tuple[int, int, bytes], attributes: bytes) -> Iterator[TcpPath]:
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if kind == _INET_DIAG_INFO:
            info = attributes[at + _ATTRIBUTE.size : at + length]
            yield TcpPath(
                *ends,
                least_round_trip=_number(info, 148) / 1e6,
                round_trip=_number(info, 92) / 1e6,
                received=_number(info, 128, "=Q"),
                packets=_number(info, 152),
                late=_number(info, 224),
            )
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)


def _number(info: bytes, at: int, form: str = "=I") -> int:
    """A field at its place in `struct tcp_info`; 0 from a kernel that is older than it."""
    return int(struct.unpack_from(form, info, at)[0]) if at + struct.calcsize(form) <= len(info) else 0
