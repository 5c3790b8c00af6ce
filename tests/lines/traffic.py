"""Numbered UDP packets through a line: `receive SECONDS` counts what comes to port 5000, `send HOST COUNT RATE` sends.

`receive` prints "listening", and at the end a JSON list of the numbers in the order in which they came.
"""

from __future__ import annotations

import json
import socket
import sys
import time

SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it
PORT = 5000
BYTES = 1472
"""The payload of a packet of 1500 bytes."""


def receive(idle_s: float) -> None:
    """Count until nothing came for `idle_s` seconds after the first packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        bound.bind(("0.0.0.0", PORT))
        print("listening", flush=True)
        came = [int.from_bytes(bound.recv(2048)[:8], "big")]
        bound.settimeout(idle_s)
        while True:
            try:
                came.append(int.from_bytes(bound.recv(2048)[:8], "big"))
            except TimeoutError:
                break
    print(json.dumps(came))


def send(host: str, count: int, rate: float) -> None:
    """Send `count` packets at `rate` bits per second on the line."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        begin = time.monotonic()
        for number in range(count):
            due = begin + number * (BYTES + 28) * 8 / rate
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            sender.sendto(number.to_bytes(8, "big") + bytes(BYTES - 8), (host, PORT))


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(float(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
