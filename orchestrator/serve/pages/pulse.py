"""The pulse of a server: its event loop tells the service manager that it lives, and what it does."""

from __future__ import annotations

from functools import partial

from orchestrator import supervisor
from orchestrator.core.sizes import format_size
from orchestrator.serve.pages.board import Board


async def beat(board: Board) -> None:
    """Tell the service manager how it is, again and again; nothing without one."""
    await supervisor.beat(partial(status, board))


def status(board: Board) -> str:
    """The state of a server in a line."""
    arriving, traffic = len(board.intake.state().transfers), board.traffic
    return f"{traffic.requests} requests, {format_size(traffic.sent)} sent, {arriving} files on their way"
