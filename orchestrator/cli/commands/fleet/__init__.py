"""`glm-aria fleet`: machines that share one download."""

from __future__ import annotations

import click

from orchestrator.cli.commands.fleet.key import key


@click.group()
def fleet() -> None:
    """Make the key of a fleet: machines that share one download.

    The machines of a fleet fetch each byte once from the Hub or its mirrors, and give it to each other. Who has the key
    belongs to the fleet: every machine needs the same one.

    \b
    Examples:
      glm-aria fleet key
      scp -p "$(glm-aria fleet key --show-path)" HOST:.config/glm-aria/fleet.key
    """


fleet.add_command(key)
