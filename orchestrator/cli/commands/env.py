"""`glm-aria env`: the variables that make Hugging Face software ask a mirror, for a shell to read."""

from __future__ import annotations

import click

from orchestrator import __version__, templating
from orchestrator.cli import terminal
from orchestrator.cli.groups import CONFIG
from orchestrator.recipes import values

_PATIENCE_S = "30"
NAMES = (
    "HF_ENDPOINT",
    "HF_HUB_CACHE",
    "HF_HUB_DISABLE_XET",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
)


@click.command()
@click.option("--shell", type=click.Choice(list(templating.SHELLS)), default="sh", show_default=True,
              help="sh is for bash, zsh and dash as well.")  # fmt: skip
@click.option("--undo", is_flag=True, help="Print what gives each variable its earlier value back.")
@click.option("--mirror", "name", metavar="NAME", help="A mirror of the settings; by default the first to be asked.")
@CONFIG
def env(shell: str, name: str | None, *, undo: bool) -> None:
    """Print what makes hf, transformers and others use a mirror.

    HF_ENDPOINT names the mirror, and HF_HUB_CACHE the same cache that pull fills. Xet, which mirrors do not speak, is
    off, and so is the token that hf would send to HF_ENDPOINT unasked. Timeouts are 30 s.

    \b
    Examples:
      eval "$(glm-aria env)"
      eval "$(glm-aria env --mirror hf-mirror)"
      eval "$(glm-aria env --undo)"
      glm-aria env --shell fish | source
    """
    template = templating.SHELLS[shell]
    if undo:
        text = templating.render(template, undo=True, variables=NAMES)
    else:
        from orchestrator.cli.commands.render import world

        around = world()
        mirror = values.chosen_mirror(around, name)
        chosen = (mirror, str(around.settings.cache_dir), "1", "1", _PATIENCE_S, _PATIENCE_S)
        variables = dict(zip(NAMES, chosen, strict=True))
        text = templating.render(template, undo=False, version=__version__, mirror=mirror, variables=variables)
    terminal.result(text.removesuffix("\n"))
