"""`glm-aria env`: the variables that make Hugging Face software ask a mirror, for a shell to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator import __version__, templating
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import settings as load
from orchestrator.cli.run import services
from orchestrator.cli.typed import option, takes
from orchestrator.recipes import defaults

_PATIENCE_S = "30"
NAMES = (
    "HF_ENDPOINT",
    "HF_HUB_CACHE",
    "HF_HUB_DISABLE_XET",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
)


@dataclass(frozen=True, slots=True)
class EnvOptions:
    """The options of `env`."""

    shell: Annotated[
        str,
        option("--shell", type=click.Choice(list(templating.SHELLS)), default="sh", show_default=True,
               help="Syntax of this shell; sh is also for bash, zsh and dash."),
    ]  # fmt: skip
    undo: Annotated[bool, option("--undo", help="Print commands that restore the earlier value of each variable.")]
    mirror: Annotated[
        str | None,
        option("--mirror", metavar="NAME", help="Name of a mirror of the settings (default: the best one)."),
    ]
    config: Annotated[str | None, CONFIG]


@click.command()
@takes(EnvOptions)
def env(options: EnvOptions) -> None:
    """Print shell variables that make hf, transformers and others use a mirror.

    HF_ENDPOINT names the mirror, and HF_HUB_CACHE the cache that pull fills. Xet is off, since mirrors do not support
    it, and so is the token, which hf would otherwise send to HF_ENDPOINT. Timeouts are 30 s.

    \b
    Examples:
      eval "$(glm-aria env)"
      eval "$(glm-aria env --mirror hf-mirror)"
      eval "$(glm-aria env --undo)"
      glm-aria env --shell fish | source
    """
    template = templating.SHELLS[options.shell]
    if options.undo:
        text = templating.render(template, undo=True, variables=NAMES)
    else:
        settings = load()
        mirror = defaults.chosen_mirror(services(settings).known_to_recipes(), options.mirror)
        chosen = (mirror, str(settings.cache_dir), "1", "1", _PATIENCE_S, _PATIENCE_S)
        variables = dict(zip(NAMES, chosen, strict=True))
        text = templating.render(template, undo=False, version=__version__, mirror=mirror, variables=variables)
    terminal.result(text.removesuffix("\n"))
