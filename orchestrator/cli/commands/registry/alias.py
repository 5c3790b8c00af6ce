"""`glm-aria registry alias`: what an alias stands for is moved."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import terminal
from orchestrator.cli.commands.registry.naming import RegistryChoice, calls, model_at
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.registries import is_sha256
from orchestrator.core.text import printable
from orchestrator.errors import UsageError
from orchestrator.registry.document import RemovedAliasDocument, ResolvedDocument

if TYPE_CHECKING:
    from orchestrator.app.registry.remote import RegistryServices

_NOTHING = "none"


@dataclass(frozen=True, slots=True)
class AliasOptions:
    """The options of `registry alias`."""

    ref: Annotated[str, argument("MODEL@VERSION")]
    alias: Annotated[str, argument("ALIAS")]
    expect: Annotated[
        str | None,
        option("--expect", metavar="VERSION|DIGEST",
               help="Move it only if it stands for this version or digest, or `none` for nothing; if not given, only "
               "if nobody moves it meanwhile."),
    ]  # fmt: skip
    remove: Annotated[bool, option("--remove", help="Remove the alias; MODEL has no @VERSION then.")]
    choice: RegistryChoice


@click.command()
@takes(AliasOptions)
def alias(options: AliasOptions) -> int:
    """Have an alias such as `prod` stand for a version.

    VERSION is a version, a range, another alias or a digest. Where the server has rules for the alias, a version that
    breaks one is refused (exit code 80), and so is a move when somebody else moved the alias meanwhile.

    \b
    Examples:
      glm-aria registry alias team/model@1.3.0 prod
      glm-aria registry alias team/model@staging prod --expect 1.2.0
      glm-aria registry alias team/model canary --remove
    """
    model, wanted = model_at(options.ref)
    if bool(wanted) is options.remove:
        command = f"glm-aria registry alias {quote(model)}@1.2.3 {quote(options.alias)}"
        raise UsageError("name either a version or --remove", hint=f"for example: {command}")
    registry, run = calls(options.choice), Run(options.choice.as_json)
    if options.expect is None:
        expected = registry.present(model, options.alias)
    else:
        expected = _expected(registry, model, options.expect)
    if options.remove:
        removed = registry.remove(model, options.alias, expected)
        return finish(run, "registry alias", removed, _say_removed)
    moved = registry.move(model, options.alias, wanted, expected)
    return finish(run, "registry alias", moved, lambda found: _say_moved(found, options.alias))


def _expected(registry: RegistryServices, model: str, text: str) -> str:
    """The digest that `--expect` means; a version never changes, so it may stand for its digest."""
    from orchestrator.registry.versions import Version

    if text == _NOTHING or is_sha256(text):
        return "" if text == _NOTHING else text
    if Version.of_tag(text) is None:
        raise UsageError(
            f"--expect {text!r} is no version such as 1.2.0, no digest such as sha256:…, and not {_NOTHING!r}",
            hint="glm-aria registry show MODEL@ALIAS tells the whole digest",
        )
    return registry.resolve(model, text).digest


def _say_moved(found: ResolvedDocument, name: str) -> None:
    terminal.say(printable(f"{name} of {found.name} stands for {found.version or 'no version'} ({found.digest})"))


def _say_removed(found: RemovedAliasDocument) -> None:
    kept = "" if found.tag_is_gone else "; the registry below keeps its tag, which it cannot remove"
    terminal.say(printable(f"{found.alias} of {found.name} is removed{kept}"))
