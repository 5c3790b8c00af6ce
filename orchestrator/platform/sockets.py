"""Sockets as some systems have them: datagrams to a service manager, the kernel's table, files that it sends."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

from orchestrator.platform.lacking import lacks

if sys.platform != "win32":
    import fcntl
    import termios

CORK: int = getattr(socket, "TCP_CORK", 0)
NOTSENT_LOWAT = 25 if sys.platform == "linux" else 0
"""TCP_NOTSENT_LOWAT of linux/tcp.h, for which socket has no name; 0 elsewhere."""
_NETLINK_SOCK_DIAG = 4


def send_file(connection: int, fd: int, offset: int, count: int) -> int:
    """Have the kernel send bytes of an open file; the count. Raises OSError."""
    if sys.platform != "win32":
        return os.sendfile(connection, fd, offset, count)
    raise lacks("files that the kernel sends")


def unacknowledged(connection: int) -> int:
    """Bytes that the system keeps since the other end has not taken them; 0 where it does not tell. Raises OSError."""
    if sys.platform == "linux":
        return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0])
    return 0


def datagrams() -> socket.socket:
    """A socket for datagrams to a name in the file system, which never waits. Raises OSError."""
    if sys.platform != "win32":
        found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        found.setblocking(False)
        return found
    raise lacks("sockets in the file system")


def diagnosis() -> socket.socket:
    """A socket that answers about the connections of this machine, as sock_diag(7) says. Raises OSError."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "Linux alone has it")
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
