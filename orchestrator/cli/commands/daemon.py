"""`glm-aria daemon`: the background aria2c that later pulls reuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.aria2.document import BusyDaemonDocument, DaemonDocument
from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import takes
from orchestrator.core.sizes import format_speed
from orchestrator.errors import GlmAriaError

if TYPE_CHECKING:
    from orchestrator.aria2.daemon import BackgroundDaemon


@click.group()
def daemon() -> None:
    """Start, stop or inspect a background aria2c.

    If it runs, pulls use it, except with --max-speed and --polite, which concern one pull alone; otherwise a pull
    starts an aria2c that ends with it. It listens on loopback only, on a random port with a random secret; only you can
    read the file that holds both.

    \b
    Examples:
      glm-aria daemon start
      glm-aria daemon status --json
      glm-aria daemon stop
    """


@dataclass(frozen=True, slots=True)
class StartOptions:
    """The options of `daemon start`."""

    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """The options of `daemon stop` and `daemon status`."""

    as_json: Annotated[bool, shared.JSON]


@daemon.command()
@takes(StartOptions)
def start(options: StartOptions) -> int:
    """Start the daemon, unless it already runs."""
    from orchestrator.app.compose import bundle_for_aria2

    pid, endpoint = _background(create=True).start(bundle_for_aria2(shared.settings()))
    return finish(Run(options.as_json), "daemon start", DaemonDocument(True, pid, endpoint.url), _print)


@daemon.command()
@takes(DaemonOptions)
def stop(options: DaemonOptions) -> int:
    """Stop the daemon. Partial downloads are kept; a pull that uses it ends with exit code 71."""
    pid = _background().stop()
    return finish(Run(options.as_json), "daemon stop", DaemonDocument(False, pid, None), _print)


@daemon.command()
@takes(DaemonOptions)
def status(options: DaemonOptions) -> int:
    """Show whether the daemon runs, and what it is doing."""
    return finish(Run(options.as_json), "daemon status", _status(), _print)


def _status() -> DaemonDocument | BusyDaemonDocument:
    from orchestrator.aria2.rpc import Rpc

    found = _background().find()
    if not found:
        return DaemonDocument(False, None, None)
    pid, endpoint = found
    rpc = Rpc(endpoint)
    try:
        stat = rpc.global_stat()
        return BusyDaemonDocument(
            running=True,
            pid=pid,
            url=endpoint.url,
            aria2=rpc.version(),
            active=int(stat["numActive"]),
            waiting=int(stat["numWaiting"]),
            speed=int(stat["downloadSpeed"]),
        )
    finally:
        rpc.close()


def _background(*, create: bool = False) -> BackgroundDaemon:
    from orchestrator.app.compose import known_state
    from orchestrator.aria2.daemon import BackgroundDaemon
    from orchestrator.disk.private import runtime_folder, runtime_folders

    def others() -> Iterator[Path]:
        with suppress(GlmAriaError):  # settings that are not needed for the other places
            yield from runtime_folders(lambda: known_state(shared.settings()))

    # The settings are read only where the machine has no better place than the cache's.
    return BackgroundDaemon(runtime_folder(lambda: known_state(shared.settings(), create=create)), others)


def _print(found: DaemonDocument | BusyDaemonDocument) -> None:
    if not found.running:
        terminal.result(f"stopped (pid {found.pid})" if found.pid else "not running")
        return
    line = f"running: pid {found.pid}, {found.url}"
    if isinstance(found, BusyDaemonDocument):
        load = f"{found.active} active, {found.waiting} waiting, {format_speed(found.speed)}"
        line += f", aria2 {found.aria2}, {load}"
    terminal.result(line)
