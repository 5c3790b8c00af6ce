"""`glm-aria fleet status` and `wait`: the sets of many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.cli.values import parsed
from orchestrator.cli.views.table import NOTHING, show
from orchestrator.core.sizes import format_duration, format_size, parse_duration
from orchestrator.core.text import printable
from orchestrator.desired.document import NodeStatusEntry, SetStatusesDocument
from orchestrator.desired.face import PORT
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.desired.asking import NodeAnswer

AT = option(
    "--at",
    metavar="PLACE",
    required=True,
    help=f"Where to ask (repeatable): http://HOST:{PORT}, of which each address is a node; a status.json; a folder of "
    "sets.",
)


@dataclass(frozen=True, slots=True)
class FleetStatusOptions:
    """The options of `fleet status`."""

    at: Annotated[tuple[str, ...], AT]
    config: Annotated[str | None, CONFIG]
    output: Output


@dataclass(frozen=True, slots=True)
class FleetWaitOptions:
    """The options of `fleet wait`."""

    at: Annotated[tuple[str, ...], AT]
    what: Annotated[
        Literal["ready"], option("--for", default="ready", show_default=True, help="What all nodes must be.")
    ]
    revision: Annotated[
        str | None,
        option("--revision", metavar="REV", help="Also that each has this commit or digest of a source (a beginning)."),
    ]
    nodes: Annotated[
        int, option("--nodes", metavar="N", default=1, show_default=True, help="At least so many must have answered.")
    ]
    timeout: Annotated[
        str, option("--timeout", metavar="TIME", default="10m", show_default=True, help="Give up after this time.")
    ]
    config: Annotated[str | None, CONFIG]
    output: Output


@click.command("status", cls=HeadedCommand)
@takes(FleetStatusOptions)
def status(options: FleetStatusOptions) -> int:
    """Show how the sets of many nodes are: those of glm-aria node --follow.

    The nodes need no scheduler: each shows its status with --status-listen, or as the file status.json of its set.

    \b
    Examples:
      glm-aria fleet status --at http://glm-aria-node:8093
      glm-aria fleet status --at http://edge-1:8093 --at http://edge-2:8093 --json
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    answers = services(settings).desired.statuses(options.at)
    return finish(run, "fleet status", _document(answers), _print, run.outcome())


@click.command("wait", cls=HeadedCommand)
@takes(FleetWaitOptions)
def wait(options: FleetWaitOptions) -> int:
    """Wait until all nodes have what is desired, for CI: exit code 0 then, 75 when the time is up.

    A node that does not answer is not ready, nor one whose follower has been silent for a minute. With --revision a
    rollout is waited for: without it, nodes that have not yet looked at their source are ready with what they had.

    \b
    Examples:
      glm-aria fleet wait --at http://glm-aria-node:8093 --revision "$(git rev-parse HEAD)" --timeout 30m
    """
    from orchestrator.app.desired.asking import ReadyRule

    settings = shared.settings(options)
    timeout = parsed("--timeout", parse_duration, options.timeout)
    if options.nodes < 1:
        raise UsageError("--nodes: must be at least 1")
    run = Run.watching(options.output, settings)
    told = ""

    def see(answers: tuple[NodeAnswer, ...]) -> None:
        nonlocal told
        line = f"{sum(map(rule.is_met, answers))} of {len(answers)} node(s) are as they shall be"
        if line != told:
            told = line
            run.watcher.say(line)

    rule = ReadyRule(options.nodes, options.revision)
    with run.watched():
        answers = services(settings).desired.wait(options.at, rule, timeout, see)
    return finish(run, "fleet wait", _document(answers), _print, run.outcome())


def _document(answers: Sequence[NodeAnswer]) -> SetStatusesDocument:
    entries = tuple(NodeStatusEntry(one.place, one.is_ready, one.error, one.silent, one.status) for one in answers)
    return SetStatusesDocument(sum(one.is_ready for one in entries), entries)


def _print(found: SetStatusesDocument) -> None:
    rows = []
    for one in found.nodes:
        if (state := one.status) is None:
            rows.append((printable(one.place), NOTHING, "away", NOTHING, NOTHING, printable(one.error or NOTHING)))
            continue
        wrong = next((source.error for source in state.sources if source.error), None)
        old = f"was {state.phase} {format_duration(one.silent)} ago, and silent since" if one.silent else None
        rows.append(
            (
                printable(state.node),
                printable(state.set),
                "silent" if old else state.phase,
                f"{state.observed_generation}/{state.generation}",
                format_size(state.bytes_to_go) if state.bytes_to_go else NOTHING,
                printable(old or state.reason or wrong or NOTHING),
            )
        )
    show(("NODE", "SET", "PHASE", "GENERATION", "TO GO", "REASON"), rows)
    terminal.say(f"{found.ready} of {len(found.nodes)} node(s) are ready")
