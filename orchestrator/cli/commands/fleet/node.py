"""`glm-aria node`: options to one call of the services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.commands.fleet.tasks import SCHEDULER
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import Output, SiteChoice
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.core.text import counted
from orchestrator.swarm.control.document import NodeDocument


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """The options of `node`."""

    scheduler: Annotated[str | None, SCHEDULER]
    listen: Annotated[
        str | None,
        option("--listen", setting="fleet_listen", metavar="ADDRESS:PORT",
               help="Where other nodes reach this one (default: port 8092 of all its IPv4 addresses)."),
    ]  # fmt: skip
    zone: Annotated[
        str | None, option("--zone", setting="fleet_zone", metavar="NAME", help="Its zone: peers of it come first.")
    ]
    sites: SiteChoice
    max_speed: Annotated[str | None, shared.MAX_SPEED]
    output: Output


@click.command("node", cls=HeadedCommand)
@takes(NodeOptions)
def node(options: NodeOptions) -> int:
    """Fetch what the schedulers of a fleet have for this machine, and share it.

    It takes the tasks of glm-aria fleet submit whose selector matches its name, which it prints, or its zone. Each is
    pulled as its lock file says, into the cache of this machine: from outside what a scheduler wants it to fetch for
    all, the rest from its peers. Every file is proven here before it is placed. When no scheduler answers for ten
    seconds, the nodes agree among themselves.

    It needs the key of the fleet (glm-aria fleet key). Ctrl-C and SIGTERM stop it, glm-aria fleet drain NODE ends it
    once others have what it alone has; partial downloads are kept.

    \b
    Examples:
      glm-aria node --scheduler head:8091
      glm-aria node --scheduler head-1:8091,head-2:8091 --listen 10.0.0.7:8092 --zone rack-2
    """
    run = Run.watching(options.output, settings := shared.settings(options))
    tell = terminal.say if options.output.as_json else terminal.result
    with run.watched():
        ended = services(settings).fleet.node(run.emit_lasting, tell)
    return finish(run, "node", NodeDocument(ended.name, ended.tasks), _print, run.outcome())


def _print(found: NodeDocument) -> None:
    terminal.say(f"stopped after {counted(found.tasks, 'task')}")
