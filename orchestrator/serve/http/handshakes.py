"""Connections in their TLS handshake: what is no connection of the server yet counts against none of its bounds."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Collection
from typing import Any


class BoundedListener(socket.socket):
    """The listening socket of a server with TLS, on which at most `most` handshakes go on.

    A further one ends the oldest, since a client may open a connection and leave it at that. `begun` are the
    descriptors of those that are over.
    """

    def __init__(self, listener: socket.socket, most: int, begun: Callable[[], Collection[int]]) -> None:
        super().__init__(listener.family, listener.type, listener.proto, fileno=os.dup(listener.fileno()))
        self._most = most
        self._begun = begun
        self._accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """See socket."""
        connection, address = super().accept()
        self._accepted.append(connection)
        if len(self._accepted) > self._most:
            begun = self._begun()
            waiting = [one for one in self._accepted if one.fileno() >= 0 and one.fileno() not in begun]
            for oldest in waiting[: -self._most]:
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its loop closes it
            self._accepted = waiting[-self._most :]
        return connection, address
