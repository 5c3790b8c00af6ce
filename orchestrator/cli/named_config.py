"""`--config FILE`, which may stand before or behind the name of a command."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.groups import WORD
from orchestrator.cli.typed import option
from orchestrator.disk import places
from orchestrator.errors import ConfigError

_NAMED = "glm-aria.config"


def _name_config(ctx: click.Context, _parameter: object, value: str | None) -> str | None:
    """Remember the file. Raises ConfigError when it is not there, also for a command that reads no settings."""
    if value is None:
        return None
    ctx.meta[_NAMED] = value
    try:
        places.absolute(value).stat()  # not opened: it may be a pipe
    except OSError as error:
        raise ConfigError(
            f"--config {value} cannot be read: {error.strerror}", hint="name an existing settings file"
        ) from error
    return value


CONFIG = option(
    "--config",
    heading="Rules",
    metavar="FILE",
    type=WORD,
    callback=_name_config,
    help="Read settings from FILE, as from your own file, instead of from ./glm-aria.toml.",
)


def name_config(value: str) -> None:
    """Name the file of `--config` for this command, unless one was named. Raises as the option does."""
    context = click.get_current_context()
    if context.meta.get(_NAMED) is None:
        _name_config(context, None, value)


def named_config() -> Path | None:
    """The file of `--config`; None where none was named."""
    named = click.get_current_context().meta.get(_NAMED)
    return None if named is None else places.absolute(named)
