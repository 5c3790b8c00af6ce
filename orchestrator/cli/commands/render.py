"""`glm-aria render`: any template that ships with the program, to stdout or a file."""

from __future__ import annotations

import click

from orchestrator import templating
from orchestrator.cli import terminal
from orchestrator.cli.groups import CONFIG
from orchestrator.disk import places
from orchestrator.errors import CannotCreateError, NotFoundError, UsageError
from orchestrator.recipes import values


@click.command()
@click.argument("name", required=False)
@CONFIG
@click.option("-o", "--output", "target", metavar="FILE", help="Write to this file instead of stdout.")
@click.option("--set", "given", metavar="NAME=VALUE", multiple=True, help="A value of the template; repeatable.")
def render(name: str | None, target: str | None, given: tuple[str, ...]) -> None:
    """Write out one of the templates; without NAME, list them.

    Each is a configuration for another program, made from the settings and from what was measured of the mirrors. Its
    first lines say what it does, how to use it and how to undo it. A --set that it does not know is answered with those
    that it does.

    \b
    Examples:
      glm-aria render
      glm-aria render nginx-relay.conf --set listen=0.0.0.0 -o relay.conf
      glm-aria render nginx-stream.conf --set servers=10.0.0.5:8000=3,10.0.0.6:8000=1
      glm-aria render gitconfig -o ~/.config/glm-aria/gitconfig
    """
    if name is None:
        for known in templating.names():
            terminal.result(known)
        return
    if name not in templating.names():
        raise NotFoundError(f"there is no template {name!r}", hint="one of: " + ", ".join(templating.names()))
    filled = values.values_of(name, dict(map(_pair, given)), world)
    text = templating.render(name, **filled)
    if target is None:
        terminal.result(text.removesuffix("\n"))
        return
    try:
        path = places.expanded(target)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise CannotCreateError(f"{target} cannot be written: {error.strerror}", file=target) from error


def world() -> values.World:
    """The settings of this place, and what is remembered of their sources. Asks nobody."""
    from orchestrator.app import services
    from orchestrator.cli import options
    from orchestrator.mirrors.rank import rank

    settings = options.settings()
    known, memory = services.known_mirrors(settings)
    # Who reads what is rendered, and hf by `glm-aria env`, believes the mirror: it must be the user's own choice.
    believed = [source for source in known if source.is_believed]
    return values.World(settings, tuple(rank(believed, memory)), memory)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--set {text!r} is not NAME=VALUE")
    return name, value
