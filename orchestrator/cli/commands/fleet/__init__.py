"""`glm-aria fleet`: machines that share one download."""

from __future__ import annotations

import click

from orchestrator.cli.commands.desired.statuses import status, wait
from orchestrator.cli.commands.fleet.key import key
from orchestrator.cli.commands.fleet.nodes import drain, ls
from orchestrator.cli.commands.fleet.tasks import cancel, submit, watch


@click.group()
def fleet() -> None:
    """Command a fleet: machines that share one download.

    The machines of a fleet fetch each byte once from the Hub or its mirrors, and give it to each other. Who has the key
    belongs to the fleet: every machine needs the same one.

    \b
    Examples:
      glm-aria fleet key
      scp -p "$(glm-aria fleet key --show-path)" HOST:.config/glm-aria/fleet.key
      glm-aria fleet submit org/name --scheduler head:8091
      glm-aria fleet watch --scheduler head:8091
    """


for command in (key, submit, watch, ls, cancel, drain, status, wait):
    fleet.add_command(command)
