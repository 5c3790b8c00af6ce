"""The way to a host: by the program traceroute where there is one and it may, else by timing TCP connections."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_HOP = re.compile(r"^\s*(\d+)\s+(?:(\*)|([0-9a-fA-F.:]+)\s+([\d.]+) ms)", re.MULTILINE)
_ELSEWHERE = ("/usr/sbin/traceroute", "/sbin/traceroute")
_CONNECTS = 3


@dataclass(frozen=True, slots=True)
class Hop:
    """One router; `address` and `seconds` are None for one that does not answer."""

    number: int
    address: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """`hops` by traceroute, or, without it, the seconds of a few TCP connects."""

    host: str
    hops: tuple[Hop, ...] = ()
    connects: tuple[float, ...] = ()

    @property
    def method(self) -> str:
        """The method of the measurement."""
        return "traceroute" if self.hops else "tcp"


def trace(host: str, port: int, seconds: float, lookup: Callable[[str], tuple[str, ...]]) -> Route:
    """The way to `host`, in at most about `seconds`. Never raises: a way that cannot be seen is an empty route."""
    try:
        address = lookup(host)[0]
    except OSError:
        return Route(host)
    program = shutil.which("traceroute") or next((path for path in _ELSEWHERE if Path(path).exists()), None)
    hops = _traceroute(program, address, seconds) if program else ()
    return Route(host, hops) if hops else Route(host, (), _connects(address, port, seconds))


def _traceroute(program: str, address: str, seconds: float) -> tuple[Hop, ...]:
    """All hops are asked at once, each one time; unprivileged, by UDP."""
    words = [program, "-n", "-q", "1", "-w", "1", "-m", "24", "-N", "24", address]
    try:
        found = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    hops = [
        Hop(int(number), None if star else name, None if star else float(ms) / 1000)
        for number, star, name, ms in _HOP.findall(found.stdout)
    ]
    while hops and hops[-1].address is None:
        hops.pop()
    return tuple(hops)


def _connects(address: str, port: int, seconds: float) -> tuple[float, ...]:
    taken: list[float] = []
    deadline = time.monotonic() + seconds
    for _ in range(_CONNECTS):
        begun = time.monotonic()
        if begun >= deadline:
            break
        try:
            socket.create_connection((address, port), deadline - begun).close()
        except OSError:
            break
        taken.append(time.monotonic() - begun)
    return tuple(taken)
