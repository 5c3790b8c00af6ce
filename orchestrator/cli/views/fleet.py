"""A fleet on a terminal: its nodes and tasks as tables, and a task while it goes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from orchestrator.cli import terminal
from orchestrator.cli.views.table import NOTHING, show
from orchestrator.core.sizes import format_size, format_speed
from orchestrator.core.text import printable
from orchestrator.swarm.control.document import FleetDocument, FleetNodeEntry, FleetTaskDocument, TaskNodeEntry
from orchestrator.swarm.control.messages import TaskState

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from orchestrator.swarm.control.messages import TaskStatus

_HEAD = ("NODE", "PHASE", "HAS", "FROM OUTSIDE", "FROM PEERS", "SENDERS")
_SENDERS = 3
_STATES: Mapping[str, str] = {
    TaskState.UNLISTED: "unlisted (a node asks the root for its files)",
    TaskState.SUBMITTED: "submitted, and no node takes it yet (those that are there: glm-aria fleet ls)",
}


class TaskScreen:
    """A task while it goes: a table that is drawn again on a terminal, else a line when something has changed."""

    def __init__(self, *, is_seen: bool) -> None:
        self._is_seen = is_seen
        self._live: Live | None = None
        self._last = ""

    def __enter__(self) -> Self:
        if self._is_seen and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True, highlight=False), transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        if self._live is not None:
            # Who stops looking keeps what was seen last; else the same is printed as the result.
            self._live.transient = kind is None
            self._live.stop()

    def see(self, status: TaskStatus) -> None:
        """Show how it is."""
        found = FleetTaskDocument.of(status)
        if self._live is not None:
            self._live.update(_picture(found))
        elif self._is_seen and (line := summary(found)) != self._last:
            self._last = line
            terminal.say(line)


def summary(found: FleetTaskDocument) -> str:
    """A task in a line."""
    phases = Counter(node.phase for node in found.nodes)
    nodes = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
    parts = [_STATES.get(found.state, found.state)]
    parts += [nodes] if nodes else []
    parts += [f"{format_size(found.size)} each"] if found.size else []
    if found.ratio is not None:
        # What a node had when it began came from outside, too, as far as anybody knows.
        was_there = any(node.done > node.from_origin + node.from_peers for node in found.nodes)
        parts += [f"egress {found.ratio:.2f}{' beside what was there before' if was_there else ''}"]
    return printable(f"{found.id} {found.name}: {'; '.join(parts)}")


def print_task(found: FleetTaskDocument) -> None:
    """Print a task."""
    terminal.result(summary(found))
    if found.nodes:
        show(_HEAD, [_row(node) for node in found.nodes], indent="  ")


def print_fleet(found: FleetDocument) -> None:
    """Print the nodes and tasks of a fleet."""
    if found.nodes:
        rows = [
            (
                node.id,
                node.state,
                _place(node),
                node.address,
                f"{node.silent:.0f} s ago",
                format_size(node.held),
                f"{format_speed(node.rate)} ({node.leases} leases)" if node.leases else NOTHING,
            )
            for node in found.nodes
        ]
        show(("NODE", "STATE", "ZONE", "ADDRESS", "HEARD", "HAS", "FETCHES FOR ALL"), rows)
    else:
        terminal.say("no node is connected")
    for task in found.tasks:
        terminal.result(summary(task))


def _place(node: FleetNodeEntry) -> str:
    return "/".join(filter(None, (node.site, node.zone))) or NOTHING


def _picture(found: FleetTaskDocument) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=Text(summary(found)), title_justify="left")
    for column in _HEAD:
        table.add_column(column)
    for node in found.nodes:
        table.add_row(*(Text(printable(cell)) for cell in _row(node)))
    return table


def _row(node: TaskNodeEntry) -> tuple[str, ...]:
    phase = f"{node.phase} ({node.error})" if node.error else node.phase
    return (
        node.node,
        phase,
        format_size(node.done),
        format_size(node.from_origin),
        format_size(node.from_peers),
        _senders(node.senders),
    )


def _senders(senders: Mapping[str, int]) -> str:
    most = sorted(senders.items(), key=lambda one: -one[1])
    told = ", ".join(f"{name} {format_size(count)}" for name, count in most[:_SENDERS])
    return (told + (f", {len(most) - _SENDERS} more" if most[_SENDERS:] else "")) or NOTHING
