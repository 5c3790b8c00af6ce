"""Another user who takes the ports of the machine, and answers there as an aria2 that believes any secret.

    python squatter.py hold LOW HIGH                 listen on all of these ports from the start
    python squatter.py aria2c LOW HIGH               take them when a process called aria2c appears
    python squatter.py folder LOW HIGH COUNT PATH    take so many of them when there is a folder in PATH

Says `ready`. When its input ends it prints as JSON how many ports and connections it got, and what was sent to it.
It runs as a user who may not be able to read anything but Python.
"""

import json
import os
import random
import select
import socket
import sys
from contextlib import suppress

BODY = b'{"id":-1,"jsonrpc":"2.0","result":{"version":"1.36.0","enabledFeatures":[]}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def take(sockets: list[socket.socket], ports: list[int]) -> list[socket.socket]:
    """Listen on these ports, as far as they are free."""
    got = []
    for port, one in zip(ports, sockets, strict=True):
        with suppress(OSError):
            one.bind(("127.0.0.1", port))
            one.listen()
            got.append(one)
    return got


def wait_for_folder(path: str) -> None:
    while True:
        with suppress(OSError):
            if os.stat(path).st_nlink > 2:  # noqa: PTH116 - as fast as it goes
                return
        if ended():
            return


def wait_for_aria2c() -> None:
    """Until a process has that name; one that was just forked gets it a moment later."""
    known = set(os.listdir("/proc"))  # noqa: PTH208
    young: dict[str, int] = {}
    while not ended():
        for name in set(os.listdir("/proc")) - known:  # noqa: PTH208
            known.add(name)
            if name.isdigit():
                young[name] = 2000
        for name in list(young):
            young[name] -= 1
            if not young[name]:
                del young[name]
            with suppress(OSError), open(f"/proc/{name}/comm") as file:  # noqa: PTH123
                if file.read() == "aria2c\n":
                    return


def ended() -> bool:
    return bool(select.select([0], [], [], 0)[0])


def serve(listeners: list[socket.socket]) -> tuple[int, str]:
    """Answer until the input ends; how many came, and what they sent."""
    poll, heard, came = select.epoll(), b"", 0
    poll.register(0, select.EPOLLIN)
    by_fd = {one.fileno(): one for one in listeners}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    talking: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == 0:
                return came, heard.decode("latin-1")
            if fd in by_fd:
                talk, _ = by_fd[fd].accept()
                talking[talk.fileno()] = talk
                poll.register(talk.fileno(), select.EPOLLIN)
                came += 1
                continue
            sent = b""
            with suppress(OSError):
                sent = talking[fd].recv(65536)
                heard += sent
                talking[fd].sendall(ANSWER)
            if not sent:
                poll.unregister(fd)
                talking.pop(fd).close()


def main() -> None:
    way = sys.argv[1]
    ports = list(range(int(sys.argv[2]), int(sys.argv[3])))
    random.shuffle(ports)
    if way == "folder":
        ports = ports[: int(sys.argv[4])]
    sockets = [socket.socket() for _ in ports]
    got = take(sockets, ports) if way == "hold" else []
    print("ready", flush=True)
    if way == "folder":
        wait_for_folder(sys.argv[5])
    elif way == "aria2c":
        wait_for_aria2c()
    if way != "hold":
        got = take(sockets, ports)
    came, heard = serve(got)
    print(json.dumps({"way": way, "got": len(got), "came": came, "heard": heard}), flush=True)


main()
