"""`glm-aria watch`: options to one call of the wiring; how a watch goes, as a table or JSON."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options, requests, terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.run import Run
from orchestrator.cli.views import results
from orchestrator.core.sizes import format_duration, parse_duration
from orchestrator.errors import UsageError
from orchestrator.events import Event, Notice
from orchestrator.watch.on_change import Hook

if TYPE_CHECKING:
    from orchestrator.lists.request import Item, PullRequest
    from orchestrator.settings import Settings
    from orchestrator.watch.state import ModelState, WatchState

_MOST_SEEN = 1000


@click.command("watch", cls=HeadedCommand)
@click.argument("path", metavar="LIST", required=False)
@options.watch_options
def watch(path: str | None, status: bool, **parameters: Any) -> int:
    """Keep the cache equal to a list of models.

    What is new is pulled, and branches that move are followed. The list, and the lists that it includes, are read again
    whenever they change. One that cannot be read, is wrong or empty is told of, and the list as it was before still
    counts. A model that fails is tried again after a random time that grows to an hour; the others go on. A model that
    left the list is fetched no further; its files stay until cache gc removes them.

    Ctrl-C and SIGTERM stop it; what arrived is kept. LIST is as for pull -f, but never stdin.

    \b
    Examples:
      glm-aria watch models.txt
      glm-aria watch models.txt --once
      glm-aria watch models.toml --interval 1h --pin --unpin-removed
      glm-aria watch models.txt --on-change 'systemctl reload my-server'
      glm-aria watch --status
    """
    settings = options.settings(parameters)
    if status:
        return _status(settings, path, as_json=parameters["as_json"])
    if path is None or path == "-":
        raise UsageError("which list? watch follows a file", hint="for example: glm-aria watch models.txt")
    return _watch(path, settings, parameters)


def _watch(path: str, settings: Settings, parameters: dict[str, Any]) -> int:
    if parameters["unpin_removed"] and not parameters["pin"]:
        raise UsageError("--unpin-removed goes with --pin", hint="only pins that watch made itself are taken back")
    if settings.offline:
        raise UsageError("there is nothing to follow offline", hint=f"glm-aria pull -f {shlex.quote(path)} --offline")
    run = Run.of(parameters, settings)
    chosen = requests.Selection(
        parameters["revision"],
        parameters["include"],
        parameters["exclude"],
        allow_outside=parameters["allow_outside"],
    )
    hook = Hook.of(parameters["on_change"], settings, is_quiet=run.is_events)

    def to_request(items: tuple[Item, ...]) -> PullRequest:
        from orchestrator.lists.request import PullRequest

        return PullRequest(
            items,
            safe_only=parameters["safe_only"],
            policy=settings.policy,
            allow_rollback=parameters["allow_rollback"],
            portable=settings.portable,
        )

    def emit(event: Event) -> None:
        if isinstance(event, Notice):
            # In weeks the same may happen again, and should be told again; not all of it can be kept.
            run.watcher.shown.discard(event)
            del run.seen[:-_MOST_SEEN]
        run.emit(event)

    from orchestrator.app import services
    from orchestrator.watch.watch import WatchRequest

    wanted = WatchRequest(
        _interval(parameters["interval"]), parameters["once"], parameters["pin"], parameters["unpin_removed"]
    )
    with run.watched():
        watched = services.Watched(Path(path), lambda: _read(path, chosen, run), to_request, hook)
        report = services.run_watch(settings, watched, wanted, emit)
    notices = run.all_notices(())
    errors = run.explained(report.errors)
    verdict = results.judge(
        errors, len(report.state.models), notices, interrupted=report.interrupted, strict=parameters["strict"]
    )
    run.say_missed(notices)
    if parameters["as_json"]:
        terminal.document(results.envelope("watch", verdict, {"watches": [document(report.state)]}, notices))
    else:
        for model in report.state.models:
            if model.state == "done" and model.snapshot and parameters["once"]:
                terminal.result(model.snapshot)
        for error in verdict.errors:
            results.say_error(error)
    return verdict.exit_code


def _read(path: str, chosen: requests.Selection, run: Run) -> tuple[tuple[Item, ...], tuple[Path, ...]]:
    """The list as it is now. A watch follows it for weeks: whoever may write it decides what comes here."""
    found = requests.follow(path, chosen)
    if others := requests.written_by_others(found[1]):
        if chosen.allow_outside:
            raise UsageError(
                f"others may write the list, and with --allow-outside put files anywhere: {others}",
                hint="watch it without --allow-outside, or make it your own: chmod go-w",
            )
        notice = Notice("list-writable", f"others may write the list that is watched: {others}")
        if notice not in run.seen:
            run.emit(notice)
    return found


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--interval: {error}") from error
    if seconds < 1:
        raise UsageError("--interval: must be at least 1s")
    return seconds


def _status(settings: Settings, path: str | None, *, as_json: bool) -> int:
    from orchestrator.app import services

    states = services.watched(settings, Path(path) if path else None)
    if as_json:
        data = {"watches": [document(state) for state in states]}
        terminal.document(results.envelope("watch", results.judge((), 0), data))
        return 0
    for state in states:
        _print(state)
    if not states:
        terminal.say("no list is watched for this cache")
    return 0


def document(state: WatchState) -> dict[str, object]:
    """A watch, for the JSON."""
    return {
        "list": state.path,
        "running": state.is_running,
        "pid": state.pid if state.is_running else None,
        "host": state.host if state.is_running else None,
        "interval": state.interval,
        "error": terminal.message(state.error) if state.error else None,
        "files": list(state.files),
        "pins": list(state.pins),
        "models": [_model(model) for model in state.models],
    }


def _model(model: ModelState) -> dict[str, object]:
    error = model.error and {key: text and terminal.message(text) for key, text in model.error.items()}
    return {
        "ref": model.ref,
        "state": model.state,
        "commit": model.commit,
        "snapshot": model.snapshot,
        "failures": model.failures,
        "error": error,
        "last_success": model.last_success,
        "next": model.next,
    }


def _print(state: WatchState) -> None:
    running = f"running, process {state.pid} on {state.host}" if state.is_running else "not running"
    terminal.result(terminal.printable(f"{state.path}: {running}"))
    if state.error:
        terminal.result(f"  wrong: {terminal.message(state.error)}")
    rows = [("MODEL", "STATE", "COMMIT", "SUCCESS", "NEXT", "LAST ERROR")]
    now = time.time()
    for model in state.models:
        message = terminal.message(str(model.error.get("message"))) if model.error else "-"
        rows.append(
            (
                terminal.printable(model.ref),
                terminal.printable(model.state),
                (model.commit or "-")[:12],
                _ago(model.last_success, now),
                "-"
                if model.next is None or not state.is_running
                else f"in {format_duration(max(0, model.next - now))}",
                message,
            )
        )
    _table(rows if state.models else [])


def _ago(moment: float | None, now: float) -> str:
    return "-" if moment is None else f"{format_duration(max(0.0, now - moment))} ago"


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        terminal.result(("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())
