"""The pulse of a server: its event loop tells the service manager that it lives, and what it does."""

from __future__ import annotations

import asyncio

from orchestrator.core.sizes import format_size
from orchestrator.serve.pages import supervisor
from orchestrator.serve.pages.board import Board

_USUALLY = 10.0
"""Seconds between two beats where the service manager wants no more of them."""


async def beat(board: Board) -> None:
    """Tell the service manager how it is, again and again; nothing without one. What holds up the event loop holds up
    this, too."""
    wanted = supervisor.watchdog_seconds()
    while supervisor.tell("WATCHDOG=1", f"STATUS={status(board)}"):
        await asyncio.sleep(min(_USUALLY, wanted / 3) if wanted else _USUALLY)


def status(board: Board) -> str:
    """The state of a server in a line."""
    arriving, traffic = len(board.intake.state().transfers), board.traffic
    return f"{traffic.requests} requests, {format_size(traffic.sent)} sent, {arriving} files on their way"
