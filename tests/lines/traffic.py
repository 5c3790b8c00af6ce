"""Numbered UDP packets through a line: `receive` notes what comes to port 5000, `send HOST FIRST COUNT` sends.

`receive` prints "listening", and once stdin ends a JSON list of the numbers in the order in which they came.
"""

from __future__ import annotations

import json
import select
import socket
import sys

SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it
PORT = 5000
BYTES = 1472
"""The payload of a packet of 1500 bytes."""


def receive() -> None:
    """Note packets until stdin ends; what came before that is noted, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        bound.bind(("0.0.0.0", PORT))
        print("listening", flush=True)
        came: list[int] = []
        while True:
            ready, _, _ = select.select([bound, sys.stdin], [], [])
            if bound in ready:
                came.append(int.from_bytes(bound.recv(2048)[:8], "big"))
            else:
                break
    print(json.dumps(came))


def send(host: str, first: int, count: int) -> None:
    """Send `count` packets at once, numbered from `first`; the device holds 10,000."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(first, first + count):
            sender.sendto(number.to_bytes(8, "big") + bytes(BYTES - 8), (host, PORT))


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive()
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
