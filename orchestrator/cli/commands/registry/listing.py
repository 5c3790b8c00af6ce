"""`glm-aria registry ls`, `show` and `log`: what the registry knows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import terminal
from orchestrator.cli.commands.registry.naming import RegistryChoice, calls, model_at
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views.table import NOTHING
from orchestrator.cli.views.table import show as show_table
from orchestrator.core.sizes import format_size
from orchestrator.registry.document import ModelsDocument, ModelVersionsDocument, ResolvedDocument, TrailDocument

_SHORT = 19
"""Characters of a digest that tell it from others of a model."""


@dataclass(frozen=True, slots=True)
class RegistryLsOptions:
    """The options of `registry ls`."""

    model: Annotated[str | None, argument("[MODEL]", required=False)]
    choice: RegistryChoice


@click.command()
@takes(RegistryLsOptions)
def ls(options: RegistryLsOptions) -> int:
    """List the models of the registry, or the versions and aliases of one."""
    run, registry = Run(options.choice.as_json), calls(options.choice)
    if options.model is None:
        return finish(run, "registry ls", registry.models(), _print_models)
    return finish(run, "registry ls", registry.versions(model_at(options.model)[0]), _print_versions)


@dataclass(frozen=True, slots=True)
class RegistryShowOptions:
    """The options of `registry show`."""

    ref: Annotated[str, argument("MODEL[@VERSION]")]
    choice: RegistryChoice


@click.command()
@takes(RegistryShowOptions)
def show(options: RegistryShowOptions) -> int:
    """Tell which version a range, an alias or a digest stands for now, and where its bytes are."""
    found = calls(options.choice).resolve(*model_at(options.ref))
    return finish(Run(options.choice.as_json), "registry show", found, _print_resolved)


@dataclass(frozen=True, slots=True)
class RegistryLogOptions:
    """The options of `registry log`."""

    model: Annotated[str | None, argument("[MODEL]", required=False)]
    after: Annotated[
        int, option("--after", type=click.IntRange(0), metavar="NUMBER", default=0, help="Only events behind this one.")
    ]
    choice: RegistryChoice


@click.command()
@takes(RegistryLogOptions)
def log(options: RegistryLogOptions) -> int:
    """Show who published, moved and removed what, the oldest first.

    With --json for another program: the last `number` is what --after takes to go on.
    """
    model = None if options.model is None else model_at(options.model)[0]
    found = calls(options.choice).trail(model, options.after)
    return finish(Run(options.choice.as_json), "registry log", found, _print_trail)


def _print_models(found: ModelsDocument) -> None:
    if not found.models:
        terminal.say("there are no models that you may read")
    for model in found.models:
        terminal.show(model)


def _print_versions(found: ModelVersionsDocument) -> None:
    names = {one.digest: [each.alias for each in found.aliases if each.digest == one.digest] for one in found.aliases}
    rows = [
        (
            one.version,
            " ".join(names.get(one.digest, ())) or NOTHING,
            format_size(one.size),
            _minute(one.at),
            one.who or NOTHING,
            one.digest[:_SHORT],
        )
        for one in found.versions
    ]
    show_table(("VERSION", "ALIASES", "SIZE", "PUBLISHED", "BY", "DIGEST"), rows, whole="VERSION")


def _print_resolved(found: ResolvedDocument) -> None:
    facts = {
        "version": found.version or NOTHING,
        "aliases": " ".join(found.aliases) or NOTHING,
        "digest": found.digest,
        "commit": found.commit,
        "repository": found.repository,
    }
    for name, value in facts.items():
        terminal.show(f"{name:<11} {value}")


def _print_trail(found: TrailDocument) -> None:
    rows = [
        (
            str(one.number),
            _minute(one.at),
            one.who,
            one.deed.value,
            f"{one.model}@{one.name}",
            one.before[:_SHORT] or NOTHING,
            one.after[:_SHORT] or NOTHING,
            one.version or NOTHING,
        )
        for one in found.events
    ]
    show_table(("NUMBER", "WHEN", "WHO", "DID", "WHAT", "BEFORE", "AFTER", "VERSION"), rows, whole="WHAT")


def _minute(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(moment))
