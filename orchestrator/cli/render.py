"""`glm-aria render`: any template that ships with the program, to stdout or a file."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator import __version__, templating
from orchestrator.cli import terminal
from orchestrator.errors import CannotCreateError, UsageError


@click.command()
@click.argument("name", required=False)
@click.option("-o", "--output", "target", metavar="FILE", help="Write to this file instead of stdout.")
@click.option("--set", "given", metavar="NAME=VALUE", multiple=True, help="A value of the template; repeatable.")
def render(name: str | None, target: str | None, given: tuple[str, ...]) -> None:
    """Write out one of the templates; without NAME, list them."""
    if name is None:
        for known in templating.names():
            terminal.result(known)
        return
    text = _rendered(name, dict(map(_pair, given)))
    if target is None:
        terminal.result(text.removesuffix("\n"))
        return
    try:
        Path(target).expanduser().write_text(text, "utf-8")
    except OSError as error:
        raise CannotCreateError(f"{target} cannot be written: {error.strerror}", file=target) from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--set {text!r} is not NAME=VALUE")
    return name, value


def _rendered(name: str, values: dict[str, str]) -> str:
    from jinja2 import UndefinedError

    try:
        return templating.render(name, **({"version": __version__} | values))
    except UndefinedError as error:
        raise UsageError(f"the template {name} needs a value: {error.message}", hint="give it with --set") from error
