"""`glm-aria registry check` and `diff`: a version before an alias moves to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Annotated

import click

from orchestrator.cli import terminal
from orchestrator.cli.commands.registry.naming import RegistryChoice, calls, model_at
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views.table import NOTHING, show
from orchestrator.core.sizes import format_size
from orchestrator.core.text import printable
from orchestrator.documents import Outcome
from orchestrator.errors import GateError, NotFoundError, UsageError
from orchestrator.registry.document import CheckDocument, DiffDocument, ResolvedDocument
from orchestrator.system.small_files import SETTINGS_BYTES, read_named


@dataclass(frozen=True, slots=True)
class RegistryCheckOptions:
    """The options of `registry check`."""

    ref: Annotated[str, argument("MODEL@VERSION")]
    alias: Annotated[
        str,
        option("--alias", metavar="ALIAS", required=True,
               help="Judge by the rules for this alias, against what it stands for now."),
    ]  # fmt: skip
    rules: Annotated[
        str | None, option("--rules", metavar="FILE", help="Judge by the rules of this file, not by the server's.")
    ]
    choice: RegistryChoice


@click.command()
@takes(RegistryCheckOptions)
def check(options: RegistryCheckOptions) -> int:
    """Judge a version by the rules that count before an alias moves to it. Nothing is changed.

    Exit code 0: it keeps them all. 80: it breaks one. 66: there is no such version, or no such alias with no rules for
    it. 2: the file has no rules for this alias. For CI, before `registry alias`.

    \b
    Examples:
      glm-aria registry check team/model@1.3.0 --alias prod
      glm-aria registry check team/model@staging --alias prod --rules gates.toml
    """
    model, wanted = model_at(options.ref)
    rules = None if options.rules is None else _text(Path(options.rules))
    registry = calls(options.choice)
    found = registry.check(model, wanted, options.alias, rules)
    if not found.results:
        # In CI a name that is spelled wrong must not count as one that is fit.
        if rules is not None:
            raise UsageError(f"{options.rules} has no rules for {options.alias} of {found.name}")
        if not registry.present(model, options.alias):
            raise NotFoundError(f"{found.name} has no alias {options.alias!r}, and the server no rules for one")
    broken = [f"{one.rule}: {one.found}" for one in found.results if one.verdict == "failed"]
    errors = (GateError(f"{options.ref} is not fit for {options.alias}: {'; '.join(broken)}"),) if broken else ()
    return finish(Run(options.choice.as_json), "registry check", found, _print_check, Outcome.of(errors, 1))


@dataclass(frozen=True, slots=True)
class RegistryDiffOptions:
    """The options of `registry diff`."""

    model: Annotated[str, argument("MODEL[@BEFORE]")]
    versions: Annotated[tuple[str, ...], argument("[BEFORE] AFTER", required=True)]
    choice: RegistryChoice


@click.command()
@takes(RegistryDiffOptions)
def diff(options: RegistryDiffOptions) -> int:
    """Compare two versions of a model: files, bytes, and the keys of config.json.

    \b
    Examples:
      glm-aria registry diff team/model prod 1.3.0
      glm-aria registry diff team/model@prod 1.3.0
    """
    model, before = model_at(options.model)
    wanted = (*filter(None, (before,)), *options.versions)
    if len(wanted) != 2:
        raise UsageError(
            "name two versions of one model", hint=f"for example: glm-aria registry diff {quote(model)} prod 1.3.0"
        )
    registry = calls(options.choice)
    old, new = (registry.resolve(model, one) for one in wanted)
    found = registry.diff(model, old.digest, new.digest)
    return finish(Run(options.choice.as_json), "registry diff", found, partial(_print_diff, old, new))


def _print_check(found: CheckDocument) -> None:
    if not found.results:
        terminal.say(printable(f"there are no rules for {found.alias} of {found.name}"))
        return
    show(("RULE", "VERDICT", "FOUND"), [(one.rule, one.verdict.value, one.found) for one in found.results])


def _print_diff(old: ResolvedDocument, new: ResolvedDocument, found: DiffDocument) -> None:
    terminal.show(f"{found.name}: {old.version or old.digest} -> {new.version or new.digest}")
    if found.files:
        rows = [(one.path, _size(one.before), _size(one.after)) for one in found.files]
        show(("FILE", "BEFORE", "AFTER"), rows, whole="FILE")
    if found.config:
        rows = [(one.key, one.before or NOTHING, one.after or NOTHING) for one in found.config]
        show(("KEY OF CONFIG.JSON", "BEFORE", "AFTER"), rows)
    terminal.say(f"{found.same} files are the same; {format_size(found.bytes_to_fetch)} to fetch for who has the first")


def _size(count: int | None) -> str:
    return NOTHING if count is None else format_size(count)


def _text(path: Path) -> str:
    try:
        return read_named(path, SETTINGS_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the rules cannot be read from {path}: {error}") from error
