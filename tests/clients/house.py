"""A server between clients and a Hub: what goes wrong behind it, and how far a download has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.clients.client import Download
from tests.hub.content import MIB
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.serve.servers import Server

WEIGHTS = "*.[sp]a*"
"""Files of weights (safetensors) and of rows (parquet)."""
LINE = Shape(total_rate=6e6)
"""Of the Hub's CDN while a test does something in the middle; `SHARE` of it for a mirror beside it."""
UNTIL = MIB
"""Where a file stops of which only a part can be had."""


@dataclass(frozen=True, slots=True)
class House:
    """A server whose cache is empty, the Hub behind it, and the repo that clients get through it.

    `content` are the digests of what a client shows that has all of it.
    """

    hub: LoopbackHub
    server: Server
    repo: Repo
    content: Mapping[str, str]

    def download(self, home: Path) -> Download:
        """What a client is to get, through the server."""
        return Download(self.server.url, self.repo, home)

    def slow_down(self) -> None:
        """Give the lines behind the server a rate at which something can happen in the middle."""
        for face in {"cdn", "near"} & self.hub.faces.keys():
            self.hub.faces[face].shape = LINE

    def half_way(self, already: int = 0) -> bool:
        """Wait until the Hub and its mirrors have sent a third of the weights, and `already` bytes before."""
        third = self.weights / 3
        return self.hub.log.wait_for(lambda log: log.bytes_sent(file=WEIGHTS) > already + third, timeout_s=60)

    @property
    def weights(self) -> int:
        """The size of the large files together."""
        return sum(file.size for file in self.repo.commits[self.repo.head].files.values() if file.sha256)

    @property
    def sent(self) -> int:
        """Bytes of the weights that came from outside."""
        self.hub.log.settle()
        return self.hub.log.bytes_sent(file=WEIGHTS)


Begin = Callable[[LoopbackHub], None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong behind the server. `begin` sets it up before a client asks; `end` is when it is over."""

    name: str
    begin: Begin
    end: Begin = LoopbackHub.clear_faults
    is_survived: bool = True
    """Everybody ends with the right files, since somebody else has them or it passes."""

    def __str__(self) -> str:
        return self.name


def _faults(face: str, *faults: Fault) -> Begin:
    return lambda hub: hub.fault(*faults, face=face)


def _lying(hub: LoopbackHub) -> None:
    """The nearest source sends other bytes of the same size."""
    hub.faces["cdn"].shape = LINE
    hub.fault(Fault("bit_flip", WEIGHTS), face="near")


def _gone(hub: LoopbackHub) -> None:
    for face in ("hub", "cdn", "near"):
        hub.fault(Fault("status", status=503), face=face)


def _no_root(hub: LoopbackHub) -> None:
    for face in ("hub", "cdn"):
        hub.fault(Fault("status", status=503), face=face)


def _limited(hub: LoopbackHub) -> None:
    hub.fault(Fault("rate_limited", times=2))
    hub.fault(Fault("rate_limited", times=3), face="cdn")


TROUBLES = (
    Trouble("lying", _lying),
    Trouble("cut", _faults("cdn", Fault("reset", WEIGHTS, times=3))),
    Trouble("stall", _faults("cdn", Fault("stall", WEIGHTS, times=1))),
    Trouble("limited", _limited),
    Trouble("dying", _faults("cdn", Fault("reset", WEIGHTS, until=UNTIL)), is_survived=False),
    Trouble("refused", _faults("hub", Fault("rate_limited")), is_survived=False),
    Trouble("no root", _no_root, is_survived=False),
    Trouble("gone", _gone, is_survived=False),
)


class Moment(StrEnum):
    """When a client comes: the server has nothing of the repo, a part of it, or all."""

    COLD = "cold"
    MIDDLE = "middle"
    WARM = "warm"
