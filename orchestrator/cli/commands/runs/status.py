"""`glm-aria status`: pulls that go on, and those that were stopped, with what is left of each."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.resuming import what_is_left
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.cli.views.table import NOTHING, ago, show
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.errors import UsageError
from orchestrator.runs.document import StatusDocument
from orchestrator.runs.run_note import KnownRun, NotedModel
from orchestrator.settings import Settings

_PERIOD = 2.0
_CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """The options of `status`."""

    forget: Annotated[
        tuple[int, ...],
        option("--forget", type=click.IntRange(1), metavar="ID",
               help="Forget this stopped pull (repeatable); what has arrived of it stays."),
    ]  # fmt: skip
    watch: Annotated[bool, option("--watch", help="Show it again every two seconds, as long as a pull goes on.")]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


@click.command("status")
@takes(StatusOptions)
def status(options: StatusOptions) -> int:
    """Show pulls that go on or were stopped, and what is left of them.

    They are your pulls into this cache, by this command: other users' are noted in folders of their own, and a program
    that calls glm-aria from Python goes on when it calls again. A pull that was stopped
    is remembered until it is resumed, or pulled again by its names, to its end. Lists that are followed: glm-aria watch
    --status.

    \b
    Examples:
      glm-aria status
      glm-aria status --watch
      glm-aria pull --resume-last
      glm-aria pull --resume 3
      glm-aria status --forget 3
    """
    if options.watch and options.as_json:
        raise UsageError("--watch is for people, and --json for programs", hint="pull --progress json tells all of it")
    settings = shared.settings(options)
    for number in options.forget:
        services(settings).runs.forget(number, settings.cache_dir)
    if options.watch:
        _follow(settings)
    runs = services(settings).runs.known()

    def show_all(_found: StatusDocument) -> None:
        _print(runs, settings)

    return finish(Run(options.as_json), "status", StatusDocument.of(runs), show_all)


def _follow(settings: Settings) -> None:
    while any(run.is_running for run in services(settings).runs.known()):
        if sys.stdout.isatty():
            terminal.result(_CLEAR)
        _print(services(settings).runs.known(), settings)
        time.sleep(_PERIOD)
    if sys.stdout.isatty():
        terminal.result(_CLEAR)


def _print(runs: tuple[KnownRun, ...], settings: Settings) -> None:
    for run in runs:
        terminal.show(f"{run.number}: {_state(run)}, {what_is_left(run)}")
        has_errors = any(model.error for model in run.note.models)
        head = ("MODEL", "STATE", "LEFT", "SIZE", "ERROR")[: None if has_errors else -1]
        show(head, [_row(model)[: len(head)] for model in run.note.models], indent="  ")
        if run.note.withheld and not run.is_running:
            terminal.show(f"  to be said again: {', '.join(run.note.withheld)}")
    stopped = [run for run in runs if not run.is_running]
    if stopped:
        terminal.say("to go on with the newest: glm-aria pull --resume-last; with another: --resume ID")
    if not runs:
        terminal.say(f"no pull by this command into {settings.cache_dir} goes on or was stopped")


def _state(run: KnownRun) -> str:
    note = run.note
    if not run.is_running:
        return f"stopped {ago(note.at, time.time())}"
    parts = [f"goes on, process {note.pid} on {note.host}, for {format_duration(max(0.0, time.time() - note.since))}"]
    if note.rate:
        parts += [format_speed(note.rate), f"{format_duration(note.left / note.rate)} to go"]
    return ", ".join(parts)


def _row(model: NotedModel) -> tuple[str, ...]:
    left, size = (NOTHING if count is None else format_size(count) for count in (model.left, model.size))
    return model.ref, model.step.value, left, size, model.error or NOTHING
