"""`glm-aria lock`: what changed from one lock file to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import lock_files, terminal
from orchestrator.cli import options as shared
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, takes
from orchestrator.lists.document import ChangedFile, LockDiffDocument
from orchestrator.lists.lock_diff import diff_locks
from orchestrator.lists.lockfile import NAME


@click.group()
def lock() -> None:
    """Compare lock files, which pin the bytes of models.

    \b
    pull makes and uses lock files:
      glm-aria pull org/name --lock glm-aria.lock
      glm-aria pull --locked glm-aria.lock
    """


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """The options of `lock diff`."""

    old: Annotated[str, argument("A")]
    new: Annotated[str, argument("B", default=NAME)]
    as_json: Annotated[bool, shared.JSON]


@lock.command()
@takes(DiffOptions)
def diff(options: DiffOptions) -> int:
    """Show what changed from the lock file A to B (default: glm-aria.lock).

    Prints a line for each model and file that differs: + added, - removed, ~ changed. Prints nothing if both pin the
    same bytes. The exit code is 0 either way; with --json, see `same`.
    """
    changes = diff_locks(lock_files.read(options.old), lock_files.read(options.new))
    return finish(Run(options.as_json), "lock diff", LockDiffDocument.of(changes), _print)


def _print(found: LockDiffDocument) -> None:
    for line in _lines(found):
        terminal.show(line)
    if found.same:
        terminal.say("the same")


def _lines(found: LockDiffDocument) -> Iterable[str]:
    for model in found.models:
        both = (model.commit_before, model.commit_after)
        commits = " -> ".join(dict.fromkeys(commit[:12] for commit in both if commit))
        yield f"{model.change.sign} {model.ref}  {commits}"
        yield from (f"  {_line(file)}" for file in model.files)


def _line(file: ChangedFile) -> str:
    return f"{file.change.sign} {file.path}  {' -> '.join(part for part in (file.before, file.after) if part)}"
