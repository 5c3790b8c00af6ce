"""`glm-aria render`: any template that ships with the program, to stdout or a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator import templating
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import settings as load
from orchestrator.cli.run import services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.disk import places
from orchestrator.errors import CannotCreateError, NotFoundError, UsageError
from orchestrator.recipes.values import values_of


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """The options of `render`."""

    name: Annotated[str | None, argument("[NAME]", required=False)]
    config: Annotated[str | None, CONFIG]
    target: Annotated[
        str | None, option("-o", "--output", metavar="FILE", help="Write to this file instead of stdout.")
    ]
    given: Annotated[
        tuple[str, ...], option("--set", metavar="NAME=VALUE", help="Set a value of the template (repeatable).")
    ]


@click.command()
@takes(RenderOptions)
def render(options: RenderOptions) -> None:
    """Render a configuration template; without NAME, list them.

    Each one configures another program by your settings and by the measurements of the mirrors. Its first lines say
    what it does, how to use it and how to undo it. An unknown --set is answered with the known ones.

    \b
    Examples:
      glm-aria render
      glm-aria render nginx-relay.conf --set listen=0.0.0.0 -o relay.conf
      glm-aria render nginx-stream.conf --set servers=10.0.0.5:8000=3,10.0.0.6:8000=1
      glm-aria render gitconfig -o ~/.config/glm-aria/gitconfig
    """
    name, target = options.name, options.target
    if name is None:
        for one in templating.names():
            terminal.result(one)
        return
    if name not in templating.names():
        raise NotFoundError(f"there is no template {name!r}", hint="one of: " + ", ".join(templating.names()))
    filled = values_of(name, dict(map(_pair, options.given)), lambda: services(load()).known_to_recipes())
    text = templating.render(name, **filled)
    if target is None:
        terminal.result(text.removesuffix("\n"))
        return
    try:
        path = places.expanded(target)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise CannotCreateError(f"{target} cannot be written: {error.strerror}", file=target) from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--set {text!r} is not NAME=VALUE")
    return name, value
