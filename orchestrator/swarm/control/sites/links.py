"""Links to schedulers of other sites: connected again and again, as long as this one runs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc.aio

from orchestrator.errors import GlmAriaError, TemporaryError
from orchestrator.events import Emit, Notice
from orchestrator.rpc.credentials import TlsFiles, channel_to
from orchestrator.swarm.control.access import HEADER, ShowTo
from orchestrator.swarm.control.line import prove, translated
from orchestrator.swarm.control.sites.exchange import SiteDesk, exchange
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.control.stubs import fleet_pb2_grpc

_PAUSE, _LONGEST = 0.5, 8.0
"""Seconds between two attempts: the first of them, and the longest after many; by chance down to half of it."""
_REFUSED = 30.0
"""Seconds after a refusal."""
_STEADY = 10.0
"""Seconds that a connection has to last for the next attempt to come soon."""


@dataclass(frozen=True, slots=True)
class SiteLink:
    """The way to the scheduler of another site at `place`, to which nothing is said before it has proven the key."""

    place: str
    files: TlsFiles
    show: ShowTo

    async def keep(self, desk: SiteDesk, emit: Emit) -> None:
        """Exchange states until cancelled; an end is followed by another beginning. The same trouble is told once."""
        pause, told = _PAUSE, ""
        while True:
            begun = time.monotonic()
            rest = 0.0
            try:
                await self._once(desk)
                told = ""
            except GlmAriaError as error:
                if error.message != told:
                    told = error.message
                    hint = f" ({error.hint})" if error.hint else ""
                    emit(Notice("site-not-linked", f"no link to the site at {self.place}: {told}{hint}"))
                rest = 0.0 if isinstance(error, TemporaryError) else _REFUSED
            pause = _PAUSE if time.monotonic() - begun >= _STEADY else pause
            await asyncio.sleep(max(rest, pause) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST)

    async def _once(self, desk: SiteDesk) -> None:
        async with channel_to(self.place, self.files) as channel:
            shown = self.show(self.place)
            call = fleet_pb2_grpc.FleetStub(channel).SyncState(metadata=((HEADER, shown.header),))

            async def write(delta: pb.StateDelta) -> None:
                with translated(self.place):
                    await call.write(delta)

            try:
                await prove(self.place, call, shown)
                await exchange(desk, _heard(self.place, call), write, is_caller=True)
            finally:
                call.cancel()


async def _heard(place: str, call: Any) -> AsyncIterator[pb.StateDelta]:
    with translated(place):
        while (found := await call.read()) is not grpc.aio.EOF:
            yield found
