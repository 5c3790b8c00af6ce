"""`glm-aria registry certificate`: what the OCI registry below has to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import services
from orchestrator.cli.typed import takes


@dataclass(frozen=True, slots=True)
class CertificateOptions:
    """The options of `registry certificate`."""

    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]


@click.command()
@takes(CertificateOptions)
def certificate(options: CertificateOptions) -> int:
    """Print the certificate of the tokens that `serve --registry` issues, for the `rootcertbundle` of the registry.

    It belongs to the cache, and is made when it is first asked for.

    \b
    Example:
      glm-aria registry certificate > tokens.pem
    """
    terminal.result(services(shared.settings(options)).registry.certificate().rstrip())
    return 0
