"""Network lines between namespaces: the kernel's own TCP at both ends, rate, delay and loss between them.

    with Lines.open(folder, servers=2) as lines:
        lines.shape(0, Shape(rate=50e6, delay_s=0.11, loss=0.01))
        subprocess.run([*lines.at_client, "ping", "-c", "3", lines.servers[0].address])

`line.c` says what lies between. It takes root, the `ip` of iproute2 and a C compiler. Nothing leaves the namespaces.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("line.c")
CLIENT = "10.77.0.2"
BUFFER = (4096, 131_072, 6_291_456)
"""`tcp_rmem` and `tcp_wmem` as distributions ship them, in bytes."""


def missing() -> str | None:
    """Why no line can be made here; None where one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    for program in ("ip", "cc", "ping"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    includes = "".join(line for line in SOURCE.read_text().splitlines(keepends=True) if line.startswith("#include"))
    if _fails(["cc", "-fsyntax-only", "-x", "c", "-"], includes):
        return "cc has no headers of the C library and of Linux"
    name = f"aria-{secrets.token_hex(3)}"
    made = _fails(["ip", "netns", "add", name]) or _fails(["ip", "-n", name, "tuntap", "add", "line", "mode", "tun"])
    _fails(["ip", "netns", "delete", name])
    return "namespaces or TUN devices are not allowed here" if made else None


@dataclass(frozen=True, slots=True)
class Shape:
    """One line, as a user has it: what comes to the client, and a way back that is as fast and loses a fifth as much.

    `rate` in bits per second (0: any); `delay_s` of one way, so half of a round trip; `jitter_s` at most, of one way;
    `queue_s` of what waits before a full line is dropped; `loss` as a share of packets, in runs of `run` on average.
    """

    rate: float = 0
    delay_s: float = 0
    jitter_s: float = 0
    queue_s: float = 0.1
    loss: float = 0
    run: float = 3

    @property
    def round_trip_s(self) -> float:
        return 2 * self.delay_s


@dataclass(frozen=True, slots=True)
class Server:
    """One end far away: its namespace, and the address and the name by which the client reaches it."""

    namespace: str
    address: str
    host: str

    @property
    def within(self) -> tuple[str, ...]:
        """The words before a command that is to run there."""
        return ("ip", "netns", "exec", self.namespace)


class Lines:
    """A client, some servers and the lines between them, while it is open."""

    def __init__(self, namespace: str, servers: Sequence[Server], process: subprocess.Popen[str]) -> None:
        self.namespace, self.servers, self._process = namespace, tuple(servers), process

    @classmethod
    @contextmanager
    def open(cls, folder: Path, servers: int = 1) -> Iterator[Lines]:
        """Make namespaces and start the program in between, built in `folder`; end both on the way out."""
        program = _built(folder)
        mark = secrets.token_hex(3)
        client = f"aria-{mark}-c"
        far = [
            Server(f"aria-{mark}-{number}", f"10.77.{number + 1}.2", f"far-{number}.test") for number in range(servers)
        ]
        names = Path("/etc/netns") / client  # `ip netns exec` shows what is here as /etc/hosts
        made: list[str] = []
        process = None
        try:
            names.mkdir(parents=True)
            lines = (f"{server.address} {server.host} cdn.{server.host}\n" for server in far)
            (names / "hosts").write_text("".join(("127.0.0.1 localhost\n", *lines)))
            for name in (client, *(server.namespace for server in far)):
                _ip("netns", "add", name)
                made.append(name)
                _ip("-n", name, "link", "set", "lo", "up")
                _set(name, {"tcp_rmem": BUFFER, "tcp_wmem": BUFFER, "tcp_no_metrics_save": (1,)})
            words = [str(program), f"{client}/line", *(f"{server.namespace}/line={server.address}" for server in far)]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            for name, address in ((client, CLIENT), *((server.namespace, server.address) for server in far)):
                _ip("-n", name, "address", "add", f"{address}/32", "dev", "line")
                _ip("-n", name, "link", "set", "line", "mtu", "1500", "txqueuelen", "10000", "up")
                _ip("-n", name, "route", "add", "default", "dev", "line")
            yield cls(client, far, process)
        finally:
            if process is not None:
                process.communicate(timeout=10)
            for name in made:
                _ip("netns", "delete", name)
            shutil.rmtree(names, ignore_errors=True)

    @property
    def at_client(self) -> tuple[str, ...]:
        """The words before a command that is to run at the client."""
        return ("ip", "netns", "exec", self.namespace)

    def shape(self, number: int | None, shape: Shape) -> None:
        """Shape the line of a server, or with None the access line, before all of them."""
        name = "access" if number is None else str(number)
        for way, loss in (("down", shape.loss), ("up", shape.loss / 5)):
            values = {
                "rate": shape.rate,
                "queue": max(shape.rate / 8 * shape.queue_s, 3000) if shape.rate else 1e9,
                "delay": shape.delay_s,
                "jitter": shape.jitter_s,
                "loss": loss,
                "run": shape.run,
            }
            for key, value in values.items():
                self.command(f"{name}.{way} {key} {value!r}")

    def control_congestion(self, number: int, name: str) -> None:
        """Have the server's TCP send by `cubic`, `bbr` or `reno`.

        By its route, since a namespace may set only those sysctls that the whole machine allows to everybody.
        """
        _ip("-n", self.servers[number].namespace, "route", "replace", "default", "dev", "line", "congctl", name)

    def stop(self, number: int | None, *, dead: bool = True) -> None:
        """Let nothing pass any more, in either direction; with `dead=False` let it pass again."""
        name = "access" if number is None else str(number)
        for way in ("down", "up"):
            self.command(f"{name}.{way} dead {int(dead)}")

    def blacken(self, number: int) -> None:
        """Drop all packets of the TCP connections that the server has now, as when an address changes."""
        self.command(f"black {number}")

    def forget(self, number: int) -> None:
        """Treat the next connections as new ones, also where a black one had the same port."""
        self.command(f"forget {number}")

    def stats(self) -> dict[str, Any]:
        """The counts of each stage, by its name: packets, bytes, lost, overflowed, killed, waiting.

        What overflowed was dropped by the queue, what was killed came while the line was dead, and what waits is on its
        way at this moment.
        """
        self._write("stats")
        return json.loads(self._read())  # type: ignore[no-any-return]

    def free(self) -> None:
        """Give every line the shape that lets all through at once, and forget what was black."""
        for number in (None, *range(len(self.servers))):
            self.shape(number, Shape())
            self.stop(number, dead=False)
        for number in range(len(self.servers)):
            self.forget(number)

    def command(self, text: str) -> None:
        """One line for the program between, as `line.c` has them."""
        self._write(text)
        answer = self._read()
        if answer != "ok\n":
            raise ValueError(answer)

    def _write(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


def _built(folder: Path) -> Path:
    program = folder / "line"
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


def _fails(words: Sequence[str], text: str = "") -> bool:
    return subprocess.run(words, input=text, text=True, capture_output=True, check=False).returncode != 0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _set(namespace: str, values: Mapping[str, Sequence[int]]) -> None:
    """Set what is in /proc/sys/net/ipv4 of a namespace."""
    words = [f"echo {' '.join(map(str, value))} >/proc/sys/net/ipv4/{key}" for key, value in values.items()]
    _ip("netns", "exec", namespace, "sh", "-ec", "; ".join(words))
