"""`glm-aria registry`: models of one's own, with versions and aliases."""

from __future__ import annotations

import click

from orchestrator.cli.commands.registry.alias import alias
from orchestrator.cli.commands.registry.certificate import certificate
from orchestrator.cli.commands.registry.judging import check, diff
from orchestrator.cli.commands.registry.listing import log, ls, show
from orchestrator.cli.commands.registry.login import login, logout


@click.group()
def registry() -> None:
    """Versions and aliases of models in a registry of your own.

    The models lie in an OCI registry; `glm-aria serve --registry URL` beside it has their versions, aliases and rights.
    These commands ask the server of GLM_ARIA_REGISTRY with the token of `registry login` or GLM_ARIA_REGISTRY_TOKEN;
    without that, the one that you run on this machine.

    \b
    Examples:
      glm-aria registry login registry.example
      glm-aria registry ls
      glm-aria registry ls team/model
      glm-aria registry show team/model@^1.2
      glm-aria registry check team/model@1.3.0 --alias prod
      glm-aria registry alias team/model@1.3.0 prod
      glm-aria registry diff team/model prod 1.3.0
      glm-aria registry log team/model
    """


for command in (login, logout, ls, show, alias, check, diff, log, certificate):
    registry.add_command(command)
