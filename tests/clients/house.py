"""A server between clients and a Hub: what goes wrong behind it, and how far a download has come."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.clients.client import Client, Download, Protocol
from tests.hub.content import MIB
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.serve.servers import Server

WEIGHTS = "*.[sp]a*"
"""Files of weights (safetensors) and of rows (parquet)."""
LINE = Shape(total_rate=6e6)
"""Of each source while a test does something in the middle."""
CDNS = ("cdn", "modelscope-cdn")
LISTS = ("hub", "modelscope")
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

    def download(self, home: Path, client: Client) -> Download:
        """What a client is to get, through the server."""
        main = "master" if client.speaks is Protocol.MODELSCOPE else "main"
        return Download(self.server.url, self.repo, home, main)

    def slow_down(self) -> None:
        """Give the lines behind the server a rate at which something can happen in the middle."""
        for face in _faces(self.hub, "near", *CDNS):
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

    @property
    def kept(self) -> int:
        """Bytes that the journals of the server say are here: what one that was killed goes on with."""
        journals = [json.loads(path.read_text()) for path in self.server.machine.stage.glob("*.journal")]
        return sum(end - start for journal in journals for start, end, _ in journal["extents"])


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


def _faces(hub: LoopbackHub, *names: str) -> list[str]:
    """Those of the faces that this hub has."""
    return [name for name in names if name in hub.faces]


def _faults(names: tuple[str, ...], *faults: Fault) -> Begin:
    def begin(hub: LoopbackHub) -> None:
        for face in _faces(hub, *names):
            hub.fault(*faults, face=face)

    return begin


def _lying(hub: LoopbackHub) -> None:
    """The nearest source sends other bytes of the same size."""
    for face in _faces(hub, *CDNS):
        hub.faces[face].shape = LINE
    hub.fault(Fault("bit_flip", WEIGHTS), face="near")


def _limited(hub: LoopbackHub) -> None:
    _faults(LISTS, Fault("rate_limited", times=2))(hub)
    _faults(CDNS, Fault("rate_limited", times=3))(hub)


TROUBLES = (
    Trouble("lying", _lying),
    Trouble("cut", _faults(CDNS, Fault("reset", WEIGHTS, times=3))),
    Trouble("stall", _faults(CDNS, Fault("stall", WEIGHTS, times=1))),
    Trouble("limited", _limited),
    Trouble("dying", _faults(CDNS, Fault("reset", WEIGHTS, until=UNTIL)), is_survived=False),
    Trouble("refused", _faults(LISTS, Fault("rate_limited")), is_survived=False),
    Trouble("no root", _faults((*LISTS, *CDNS), Fault("status", status=503)), is_survived=False),
    Trouble("gone", _faults((*LISTS, *CDNS, "near"), Fault("status", status=503)), is_survived=False),
)


class Moment(StrEnum):
    """When a client comes: the server has nothing of the repo, a part of it, or all."""

    COLD = "cold"
    MIDDLE = "middle"
    WARM = "warm"
