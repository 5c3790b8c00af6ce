"""The status of the sets of many nodes, asked at their addresses, or read from their files."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.core.sizes import format_duration
from orchestrator.core.text import redacted
from orchestrator.desired.face import PORT
from orchestrator.desired.sets import STATUS
from orchestrator.desired.status import SetStatus, parse_status
from orchestrator.disk import places
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import Interrupted, TemporaryError, UsageError
from orchestrator.system import threads
from orchestrator.system.signals import Stop
from orchestrator.system.small_files import read_small

_PATIENCE = 5.0
_TOGETHER = 15.0
"""Seconds that one node may take for all of its answer, however it drips."""
_AT_ONCE = 32
_MOST = 8 << 20
_MOST_NODES = 10_000
_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """A place that was asked: the status of a set there, or why there is none. `silent` are the seconds since the last
    word of a follower that should have said more."""

    place: str
    status: SetStatus | None
    error: str | None = None
    silent: float | None = None

    @property
    def is_ready(self) -> bool:
        """True for a node whose readers have what is desired, as its follower says now."""
        return self.status is not None and self.status.is_ready and self.silent is None


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """The rule of a wait: at least so many nodes, all ready, and each with this revision of some source if one is
    named, by its beginning."""

    nodes: int = 1
    revision: str | None = None

    def holds(self, answers: Sequence[NodeAnswer]) -> bool:
        """True when it is so."""
        return len(answers) >= self.nodes and all(self.is_met(answer) for answer in answers)

    def is_met(self, answer: NodeAnswer) -> bool:
        """True for a node that is as it shall be."""
        status = answer.status
        if status is None or not answer.is_ready:
            return False
        return self.revision is None or any(
            one.revision is not None and one.revision.removeprefix("sha256:").startswith(self.revision)
            for one in status.sources
        )


def ask(places_: Iterable[str]) -> tuple[NodeAnswer, ...]:
    """The status at each place: `http://HOST:PORT`, of which every address of HOST is asked, a file, or a folder of
    sets. Raises UsageError for a place that is none of these."""
    looks = [look for place in places_ for look in _looks(place)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(lambda look: look(), looks[:_MOST_NODES]))


def wait_for(
    places_: Sequence[str], rule: ReadyRule, timeout: float, stop: Stop, see: Callable[[tuple[NodeAnswer, ...]], None]
) -> tuple[NodeAnswer, ...]:
    """Ask again and again until the rule holds. Raises TemporaryError when that takes longer, Interrupted."""
    until = time.monotonic() + timeout
    while True:
        answers = ask(places_)
        see(answers)
        if rule.holds(answers):
            return answers
        if time.monotonic() >= until:
            met = sum(map(rule.is_met, answers))
            silent = "".join(
                f"; {one.place} was last written {format_duration(one.silent)} ago: its follower does not run"
                for one in answers
                if one.silent is not None
            )
            raise TemporaryError(
                f"{met} of {max(len(answers), rule.nodes)} node(s) are as they shall be, and the time is up{silent}",
                hint="glm-aria fleet status shows the others",
            )
        if stop.wait(min(_AGAIN, max(0.0, until - time.monotonic()))):
            raise Interrupted(stop.signal_number)


def _looks(place: str) -> list[Callable[[], NodeAnswer]]:
    if "://" not in place:
        return [_reading(path) for path in _files(places.absolute(place))]
    hint = f"for example http://node-1:{PORT}"
    try:
        found = urlsplit(place)
        host, port = found.hostname, found.port or PORT
        (host or "").encode("idna")
    except ValueError as error:
        raise UsageError(f"{place!r} is no place of a status: {error}", hint=hint) from error
    if found.scheme != "http" or not host or found.username is not None:
        raise UsageError(f"{place!r} is no place of a status", hint=hint)
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return [_refused(place, error.strerror or "it has no address")]
    addresses = dict.fromkeys(str(one[4][0]) for one in known)
    return [_asking(address, port) for address in addresses]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [path / STATUS] if (path / STATUS).exists() else sorted(path.glob(f"*/{STATUS}")) or [path / STATUS]


def _refused(place: str, why: str) -> Callable[[], NodeAnswer]:
    return lambda: NodeAnswer(place, None, why)


def _reading(path: Path) -> Callable[[], NodeAnswer]:
    def look() -> NodeAnswer:
        try:
            return _told(str(path), read_small(path, _MOST), time.time())
        except UNREADABLE as error:
            return NodeAnswer(str(path), None, redacted(getattr(error, "strerror", None) or str(error)))

    return look


def _asking(address: str, port: int) -> Callable[[], NodeAnswer]:
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def look() -> NodeAnswer:
        with contextlib.closing(http.client.HTTPConnection(address, port, timeout=_PATIENCE)) as line:
            try:
                line.connect()
                with _bounded(line.sock):
                    line.request("GET", "/status")
                    answer = line.getresponse()
                    body = answer.read(_MOST)
                if answer.status != 200:
                    return NodeAnswer(place, None, f"HTTP {answer.status}")
                return _told(place, body, _date(answer.getheader("Date")))
            except (http.client.HTTPException, *UNREADABLE) as error:
                return NodeAnswer(place, None, redacted(getattr(error, "strerror", None) or str(error) or "no answer"))

    return look


def _told(place: str, body: bytes, now: float) -> NodeAnswer:
    """The answer of a place whose clock says `now`. Raises any of UNREADABLE."""
    status = parse_status(json.loads(body))
    return NodeAnswer(place, status, silent=status.silence(now))


def _date(text: str | None) -> float:
    """The time at a node, whose clock may be another one than ours."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except ValueError:
        return time.time()


@contextlib.contextmanager
def _bounded(line: socket.socket) -> Iterator[None]:
    """The time in which a node may answer: then the connection ends."""

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(_TOGETHER, hang_up)
    clock.daemon = True
    threads.start(clock)
    try:
        yield
    finally:
        clock.cancel()
