"""`glm-aria watch`: options to one call of the services; how a watch goes, as a table or JSON."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import requests, terminal
from orchestrator.cli.commands.desired.follow import FollowOptions, follow, is_desired_state, is_said, request_of
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import Output, Select, TransferOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes, texts_of
from orchestrator.cli.values import parsed_interval
from orchestrator.cli.views.table import NOTHING, ago, show
from orchestrator.core.sizes import format_duration
from orchestrator.errors import UsageError
from orchestrator.events import Event, Flipped, Notice
from orchestrator.settings.secrets import without_secrets
from orchestrator.watch.document import WatchDocument, WatchedList
from orchestrator.watch.on_change import Hook

if TYPE_CHECKING:
    from orchestrator.lists.request import Item, PullRequest
    from orchestrator.settings import Settings

_MOST_SEEN = 1000
_FOLLOW = "How to follow"
_OF_A_LIST = (
    *("--revision", "--include", "--exclude", "--variant", "--locked", "--allow-outside"),
    *("--verify-signature", "--pin", "--unpin-removed"),
)
"""Options that a set does not heed: what it holds, and from whom, is said by its source, and it pins its own models."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The options of `watch`."""

    path: Annotated[str | None, argument("LIST|SRC", required=False)]
    interval: Annotated[
        str,
        option("--interval", heading=_FOLLOW, metavar="TIME", default="5m", show_default=True,
               help="Check branches for new commits this often: 30s, 5m, 1h."),
    ]  # fmt: skip
    once: Annotated[bool, option("--once", heading=_FOLLOW, help="Make the cache equal to the list once, then exit.")]
    pin: Annotated[
        bool, option("--pin", heading=_FOLLOW, help="Pin the models of the list, so that cache gc keeps them.")
    ]
    follow: FollowOptions
    unpin_removed: Annotated[
        bool,
        option("--unpin-removed", heading=_FOLLOW,
               help="With --pin: unpin a model when it leaves the list."),
    ]  # fmt: skip
    status: Annotated[
        bool,
        option("--status", heading=_FOLLOW,
               help="Show the status of this list, or of all lists, and exit."),
    ]  # fmt: skip
    select: Select
    transfer: TransferOptions
    allow_outside: Annotated[bool, shared.ALLOW_OUTSIDE]
    on_change: Annotated[str | None, shared.ON_CHANGE]
    strict: Annotated[bool, shared.STRICT]
    notify: Annotated[tuple[str, ...], shared.NOTIFY]
    output: Output


@click.command("watch", cls=HeadedCommand)
@takes(WatchOptions)
def watch(options: WatchOptions) -> int:
    """Keep the cache equal to a list of models, or a set as its source desires it.

    Pulls new models, and follows branches that move. Reads the list, and the lists that it includes, again whenever
    they change. If a list is unreadable, wrong or empty, watch reports it and keeps to the last good list. A failed
    model is retried after a random delay that grows to an hour; the others continue. A model that left the list is no
    longer fetched; its files stay until cache gc removes them.

    A SRC is a folder, a file called desired.toml, git+https://HOST/REPO.git//PATH@REF or oci://HOST/NAME:TAG. Its
    models are one set: it is staged as a whole, and readers of SETS/NAME/current find all of it from one moment on.

    Ctrl-C and SIGTERM stop it; partial downloads are kept. LIST is as for pull -f, but never stdin.

    \b
    Examples:
      glm-aria watch models.txt
      glm-aria watch models.txt --once
      glm-aria watch models.toml --interval 1h --pin --unpin-removed
      glm-aria watch models.txt --on-change 'systemctl reload my-server'
      glm-aria watch --status
      glm-aria watch git+https://git.example/org/fleet.git//sites/edge.toml@main
    """
    settings = shared.settings(options)
    if options.path is not None and options.path != "-" and is_desired_state(options.path):
        return _follow(options.path, settings, options)
    if is_said(options.follow):
        raise UsageError(
            "a list has no set of its own; the options of a set belong to a desired state",
            hint="glm-aria watch FOLDER, or glm-aria node --follow LIST",
        )
    if options.status:
        return _status(settings, options)
    if options.path is None or options.path == "-":
        raise UsageError("which list? watch follows a file", hint="for example: glm-aria watch models.txt")
    return _watch(options.path, settings, options)


def _follow(source: str, settings: Settings, options: WatchOptions) -> int:
    if options.status:
        raise UsageError(
            "--status is for lists; a set shows its own status",
            hint="glm-aria fleet status --at SETS, the folder of sets (default: sets beside the cache)",
        )
    if unheeded := [flag for flag in texts_of(options) if flag in _OF_A_LIST]:
        raise UsageError(
            f"{unheeded[0]} is for lists; what a set holds, its source says",
            hint="leave it out; include, exclude, variant and lock are keys of desired.toml, and a set pins its models",
        )
    request = request_of((source,), options.follow, options.interval, once=options.once)
    request = replace(request, safe_only=options.transfer.safe_only, may_go_back=options.transfer.allow_rollback)
    return follow("watch", request, options.on_change, settings, options.output, strict=options.strict)


def _watch(path: str, settings: Settings, options: WatchOptions) -> int:
    if options.unpin_removed and not options.pin:
        raise UsageError("--unpin-removed needs --pin", hint="watch removes only pins that it made itself")
    if settings.offline:
        raise UsageError(
            "watch needs the network, and the settings say offline",
            hint=f"glm-aria pull -f {shlex.quote(path)} --offline",
        )
    run = Run.watching(options.output, settings)
    chosen = requests.Selection.of(options.select, allow_outside=options.allow_outside)
    hook = Hook.of(options.on_change, without_secrets(os.environ, settings), is_quiet=run.is_events)

    signatory = options.transfer.signatory

    def to_request(items: tuple[Item, ...]) -> PullRequest:
        from orchestrator.lists.request import PullRequest

        return PullRequest(
            items,
            safe_only=options.transfer.safe_only,
            signatory=signatory,
            policy=settings.policy,
            allow_rollback=options.transfer.allow_rollback,
            portable=settings.portable,
        )

    def emit(event: Event) -> None:
        if isinstance(event, Flipped):
            run.watcher.say(f"{event.model}: {_flip(event)}")
        if isinstance(event, Notice):
            # In weeks the same may happen again, and should be told again; not all of it can be kept.
            run.watcher.shown.discard(event)
            run.forget(_MOST_SEEN)
        run.emit(event)

    from orchestrator.app.services import Watched
    from orchestrator.watch.watch import WatchRequest

    wanted = WatchRequest(
        parsed_interval("--interval", options.interval), options.once, options.pin, options.unpin_removed
    )
    with run.watched():
        watched = Watched(Path(path), lambda: requests.watched(path, chosen, run.tell_once), to_request, hook)
        report = services(settings).watch(watched, wanted, emit)
    outcome = run.outcome(
        report.errors, len(report.state.models), interrupted=report.interrupted, strict=options.strict
    )

    def show_snapshots(found: WatchDocument) -> None:
        for model in found.watches[0].models if options.once else ():
            if model.state == "done" and model.snapshot:
                terminal.result(model.snapshot)

    return finish(run, "watch", WatchDocument.of([report.state]), show_snapshots, outcome)


def _flip(event: Flipped) -> str:
    """The words for a model that readers find as another one from now on: `now 1.3.0 (commit 57f48cf8ae79)`."""
    commit = f"commit {event.new[:12]}"
    before = f", before {event.old[:12]}" if event.old else ""
    return f"now {event.version} ({commit}{before})" if event.version else f"now {commit}{before}"


def _status(settings: Settings, options: WatchOptions) -> int:
    states = services(settings).watched(Path(options.path) if options.path else None)
    return finish(Run(options.output.as_json), "watch", WatchDocument.of(states), _print)


def _print(found: WatchDocument) -> None:
    for state in found.watches:
        _print_list(state)
    if not found.watches:
        terminal.say("no list is watched for this cache")


def _print_list(state: WatchedList) -> None:
    running = f"running, process {state.pid} on {state.host}" if state.running else "not running"
    terminal.show(f"{state.list}: {running}")
    if state.error:
        terminal.result(f"  wrong: {state.error}")
    now = time.time()
    rows = [
        (
            model.ref,
            model.state,
            model.version or NOTHING,
            (model.commit or NOTHING)[:12],
            ago(model.last_success, now),
            NOTHING if model.next is None or not state.running else f"in {format_duration(max(0, model.next - now))}",
            str(model.error.get("message")) if model.error else NOTHING,
        )
        for model in state.models
    ]
    if rows:
        show(("MODEL", "STATE", "VERSION", "COMMIT", "SUCCESS", "NEXT", "LAST ERROR"), rows, indent="  ")
