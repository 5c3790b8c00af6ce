"""`glm-aria fleet ls` and `drain`: the nodes of a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.commands.fleet.tasks import SCHEDULER
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, takes
from orchestrator.cli.views.fleet import print_fleet
from orchestrator.core.text import printable
from orchestrator.swarm.control.document import FleetDocument


@dataclass(frozen=True, slots=True)
class FleetLsOptions:
    """The options of `fleet ls`."""

    scheduler: Annotated[str | None, SCHEDULER]
    config: Annotated[str | None, CONFIG]
    output: Output


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """The options of `fleet drain`."""

    node: Annotated[str, argument("NODE")]
    scheduler: Annotated[str | None, SCHEDULER]
    config: Annotated[str | None, CONFIG]
    output: Output


@click.command("ls", cls=HeadedCommand)
@takes(FleetLsOptions)
def ls(options: FleetLsOptions) -> int:
    """Show the nodes of a fleet, and its tasks."""
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    with run.watched():
        nodes, tasks = services(settings).fleet.listing(run.emit)
    return finish(run, "fleet ls", FleetDocument.of(nodes, tasks), print_fleet, run.outcome())


@click.command("drain", cls=HeadedCommand)
@takes(DrainOptions)
def drain(options: DrainOptions) -> int:
    """Give a node no more work. It leaves once other nodes have what it alone has.

    \b
    Examples:
      glm-aria fleet drain gpu-7-3fa9 --scheduler head:8091
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    with run.watched():
        node = services(settings).fleet.drain(options.node, run.emit)
    found = FleetDocument.of([node])
    return finish(
        run, "fleet drain", found, lambda _: terminal.say(printable(f"{node.id} is {node.state}")), run.outcome()
    )
