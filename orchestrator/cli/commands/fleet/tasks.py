"""`glm-aria fleet submit`, `watch` and `cancel`: what a fleet is to fetch, and how that goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import requests
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output, Select, TransferOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views.fleet import TaskScreen, print_task
from orchestrator.lists.request import PullRequest
from orchestrator.swarm.control.document import FleetTaskDocument, failures_of

if TYPE_CHECKING:
    from orchestrator.documents import Outcome
    from orchestrator.settings import Settings
    from orchestrator.swarm.control.messages import TaskStatus

SCHEDULER = option(
    "--scheduler", setting="fleet_control", metavar="HOST:PORT,...", help="Where the schedulers of the fleet are."
)


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """The options of `fleet submit`."""

    refs: Annotated[tuple[str, ...], argument("REF...")]
    lists: Annotated[
        tuple[str, ...], option("-f", "--file", metavar="LIST", help="Also take models from a list; - is stdin.")
    ]
    select: Select
    transfer: TransferOptions
    nodes: Annotated[
        str,
        option("--nodes", metavar="SELECTOR", default="*", show_default=True,
               help="The nodes that are to have them: patterns of names, or zone=PATTERN, with commas between."),
    ]  # fmt: skip
    priority: Annotated[
        int,
        option("--priority", metavar="N", default=0, show_default=True,
               help="With one more a task gets twice as much of an origin as another."),
    ]  # fmt: skip
    wait: Annotated[bool, option("--wait", help="Watch until all nodes have them.")]
    scheduler: Annotated[str | None, SCHEDULER]
    output: Output


@dataclass(frozen=True, slots=True)
class FleetWatchOptions:
    """The options of `fleet watch`."""

    task: Annotated[str | None, argument("TASK", required=False)]
    scheduler: Annotated[str | None, SCHEDULER]
    config: Annotated[str | None, CONFIG]
    output: Output


@dataclass(frozen=True, slots=True)
class CancelOptions:
    """The options of `fleet cancel`."""

    task: Annotated[str, argument("TASK")]
    scheduler: Annotated[str | None, SCHEDULER]
    config: Annotated[str | None, CONFIG]
    output: Output


@click.command("submit", cls=HeadedCommand)
@takes(SubmitOptions)
def submit(options: SubmitOptions) -> int:
    """Have the nodes of a fleet fetch models; print the task.

    The models are resolved here, once: what each node fetches is what the root listed for this machine, as a lock file
    would say it. For that lock the small files are fetched into the cache of this machine. REF and LIST are as for
    pull. The same models for the same nodes are one task, however often they are submitted; one that was cancelled, or
    failed at some nodes, begins again. All nodes believe what this machine lists, so it needs the key of the fleet
    (glm-aria fleet key); a token does not do.

    \b
    Examples:
      glm-aria fleet submit org/name --scheduler head:8091
      glm-aria fleet submit -f models.txt --nodes 'gpu-*,zone=rack-2' --wait
      glm-aria fleet submit --locked glm-aria.lock
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    if locked := options.transfer.locked:
        items = requests.locked_items(options.refs, locked, None)
    else:
        chosen = requests.Selection.of(options.select)
        items = requests.items(options.refs, options.lists, chosen)
    wanted = PullRequest(
        items,
        safe_only=options.transfer.safe_only,
        signatory=options.transfer.signatory,
        policy=settings.policy,
        allow_rollback=options.transfer.allow_rollback,
        lock_name=locked or "",
        portable=settings.portable,
    )
    with run.watched():
        task = services(settings).fleet.submit(wanted, options.nodes, options.priority, run.emit)
    if options.wait:
        task = _watched(task.id, settings, run)
    return finish(run, "fleet submit", FleetTaskDocument.of(task), print_task, _outcome(run, task))


@click.command("watch", cls=HeadedCommand)
@takes(FleetWatchOptions)
def watch(options: FleetWatchOptions) -> int:
    """Show how a task of a fleet goes, until it has ended: the newest one without TASK.

    For each node: its phase, how much it has, what it fetched from outside of the fleet, and which peers sent it how
    much. Egress is what all nodes together fetched from outside: 1.00 is one copy. Exit codes are as for pull, with
    nodes in the place of models: 3 when some failed, or the task was cancelled. TASK may be the beginning of an id.
    Ctrl-C ends the looking, and the nodes go on.

    \b
    Examples:
      glm-aria fleet watch --scheduler head:8091
      glm-aria fleet watch 4f2a --json
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    task = _watched(options.task, settings, run)
    return finish(run, "fleet watch", FleetTaskDocument.of(task), print_task, _outcome(run, task))


@click.command("cancel", cls=HeadedCommand)
@takes(CancelOptions)
def cancel(options: CancelOptions) -> int:
    """End a task of a fleet. What the nodes have of it stays with them."""
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    with run.watched():
        task = services(settings).fleet.cancel(options.task, run.emit)
    return finish(run, "fleet cancel", FleetTaskDocument.of(task), print_task, run.outcome())


def _outcome(run: Run, task: TaskStatus) -> Outcome:
    """The outcome by the nodes, as that of a pull is by its models."""
    return run.outcome(failures_of(task), len(task.nodes))


def _watched(task: str | None, settings: Settings, run: Run) -> TaskStatus:
    is_seen = not run.is_quiet and not run.as_json
    with run.watched(), TaskScreen(is_seen=is_seen) as view:
        return services(settings).fleet.watch(task, run.emit, view.see)
