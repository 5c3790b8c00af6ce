"""`glm-aria node --follow` and `glm-aria watch SRC`: a set kept as its sources desire it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from orchestrator.cli import terminal
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, texts_of
from orchestrator.cli.values import parsed, parsed_interval
from orchestrator.cli.views.table import NOTHING, ago, show
from orchestrator.core.addresses import Place
from orchestrator.core.sizes import format_size, parse_duration, parse_size
from orchestrator.core.speeds import parse_windows
from orchestrator.core.text import printable
from orchestrator.desired.face import PORT
from orchestrator.desired.sets import check_name
from orchestrator.desired.status import SetStatus, WatchedSetDocument
from orchestrator.desired.wish.address import is_state, parse_source
from orchestrator.desired.wish.document import NAMES, SetBudget
from orchestrator.disk import places
from orchestrator.errors import UsageError
from orchestrator.events import Event, Flipped
from orchestrator.settings.secrets import without_secrets
from orchestrator.settings.values import listen
from orchestrator.watch.on_change import Hook

if TYPE_CHECKING:
    from orchestrator.app.desired.following import SetRequest
    from orchestrator.cli.run import Shown
    from orchestrator.settings import Settings

_SET = "The set and its status"


@dataclass(frozen=True, slots=True)
class SetPlace:
    """The set that is meant."""

    set_name: Annotated[
        str | None,
        option("--set", heading=_SET, metavar="NAME", help="The name of the set, and of its folder (default: site)."),
    ]
    sets: Annotated[
        str | None,
        option("--sets", heading=_SET, metavar="DIR",
               help="The folder of sets (default: sets beside the cache; on one volume with it)."),
    ]  # fmt: skip

    @property
    def name(self) -> str:
        """The name of the set. Raises UsageError."""
        return check_name(self.set_name or "site")

    @property
    def folder(self) -> Path | None:
        """The folder of sets, where one is named."""
        return places.absolute(self.sets) if self.sets else None


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """The options of a follower."""

    place: SetPlace
    label: Annotated[
        tuple[str, ...],
        option("--label", heading=_SET, setting="node_labels", metavar="KEY=VALUE",
               help="A label of this node, by which a desired state chooses models (repeatable). node, os and arch are "
               "there."),
    ]  # fmt: skip
    grace: Annotated[
        str | None,
        option("--grace", heading=_SET, metavar="TIME",
               help="Keep a set so long after another took its place (default: 24h, or what the source says)."),
    ]  # fmt: skip
    disk: Annotated[
        str | None,
        option("--disk", heading=_SET, metavar="SIZE", help="All sets together may take so much of the disk."),
    ]
    window: Annotated[
        str | None,
        option("--window", heading=_SET, metavar="HOURS",
               help="Fetch new models only then, by this machine's clock: 22:00-06:00."),
    ]  # fmt: skip
    verify_every: Annotated[
        str | None,
        option("--verify-every", heading=_SET, metavar="TIME",
               help="Read all bytes of the set again this often (default: 24h)."),
    ]  # fmt: skip
    allowed_signers: Annotated[
        str | None,
        option("--allowed-signers", heading=_SET, metavar="FILE",
               help="Follow only what one of these has signed: keys of ssh as for git, or a keyring folder of gpg. A "
               "commit has its own signature, any other file has FILE.sig beside it."),
    ]  # fmt: skip
    status_listen: Annotated[
        str | None,
        option("--status-listen", heading=_SET, metavar="ADDRESS:PORT",
               help=f"Show /status, /metrics, /healthz and /readyz there, such as 127.0.0.1:{PORT}."),
    ]  # fmt: skip


def is_desired_state(text: str) -> bool:
    """True for what `watch` follows as a set, and not as a list of which each model is for itself."""
    path = Path(text)
    return is_state(text) or path.name == NAMES[0] or any((path / name).exists() for name in NAMES)


def is_said(options: FollowOptions) -> bool:
    """True when one of the options was given."""
    return any(text for texts in texts_of(options).values() for text in texts)


def request_of(sources: tuple[str, ...], options: FollowOptions, interval: str, *, once: bool) -> SetRequest:
    """The request that options make. Raises UsageError."""
    from orchestrator.app.desired.following import SetRequest
    from orchestrator.desired.following.request import VERIFY

    budget = SetBudget(
        parsed("--disk", parse_size, options.disk) if options.disk else None,
        windows=parsed("--window", parse_windows, options.window) if options.window else (),
    )
    return SetRequest(
        tuple(parse_source(text) for text in sources),
        options.place.name,
        options.place.folder,
        interval=parsed_interval("--interval", interval),
        once=once,
        budget=budget,
        grace=parsed("--grace", parse_duration, options.grace) if options.grace else None,
        verify_every=parsed_interval("--verify-every", options.verify_every) if options.verify_every else VERIFY,
        signers=places.absolute(options.allowed_signers) if options.allowed_signers else None,
        listen=_place(options.status_listen) if options.status_listen else None,
    )


def follow(
    command: str,
    request: SetRequest,
    on_change: str | None,
    settings: Settings,
    output: Shown,
    *,
    strict: bool = False,
) -> int:
    """Follow until a signal comes, and show how the set was in the end."""
    run = Run.watching(output, settings)
    hook = Hook.of(on_change, without_secrets(os.environ, settings), is_quiet=run.is_events)

    def emit(event: Event) -> None:
        if isinstance(event, Flipped) and event.snapshot.parent.name == event.model:
            run.watcher.say(f"the set {event.model} is now {event.snapshot.name}")
            return
        run.emit_lasting(event)

    def ready(port: int | None) -> None:
        if port is not None:
            run.watcher.say(f"status: http://{Place(request.listen.host, port) if request.listen else ''}/status")

    with run.watched():
        report = services(settings).desired.follow(request, emit, hook=hook, on_ready=ready)
    # A set is there or not, and never in part.
    outcome = run.outcome(report.errors, len(report.errors), interrupted=report.interrupted, strict=strict)
    if command == "watch":
        return finish(run, command, WatchedSetDocument(report.status), lambda found: print_set(found.set), outcome)
    return finish(run, command, report.status, print_set, outcome)


def print_set(status: SetStatus) -> None:
    """A set as a table."""
    now = time.time()
    where = f", {status.path}" if status.path else ""
    counts = f"generation {status.observed_generation} of {status.generation}"
    terminal.show(printable(f"{status.set} on {status.node}: {status.phase}, {counts}{where}"))
    if status.reason:
        terminal.show(printable(f"  {status.reason}"))
    rows = [
        (
            printable(one.source),
            one.state,
            (one.revision or NOTHING).removeprefix("sha256:")[:12],
            ago(one.looked, now),
            printable(one.error or NOTHING),
        )
        for one in status.sources
    ]
    show(("SOURCE", "STATE", "REVISION", "LOOKED", "ERROR"), rows, indent="  ")
    models = [
        (
            printable(one.name),
            printable(one.ref),
            one.phase,
            (one.commit or NOTHING)[:12],
            format_size(one.bytes_to_go) if one.bytes_to_go else NOTHING,
            ago(one.since, now),
            printable(one.reason or NOTHING),
        )
        for one in status.models
    ]
    if models:
        show(("MODEL", "REF", "PHASE", "COMMIT", "TO GO", "SINCE", "REASON"), models, indent="  ")


def _place(text: str) -> Place:
    try:
        host, _, port = listen(text, Path()).rpartition(":")
    except ValueError as error:
        raise UsageError(f"--status-listen: {error}", hint=f"for example 127.0.0.1:{PORT}") from error
    return Place(host.strip("[]"), int(port))
