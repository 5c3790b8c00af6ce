"""`glm-aria daemon`: the background aria2c that later pulls reuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import terminal
from orchestrator.cli.groups import CONFIG
from orchestrator.cli.views import results
from orchestrator.core.sizes import format_speed
from orchestrator.errors import GlmAriaError

if TYPE_CHECKING:
    from orchestrator.aria2.daemon import BackgroundDaemon


@click.group()
def daemon() -> None:
    """Start, stop or look at a background aria2c.

    A pull uses it when it runs (unless --max-speed is given, a limit that is the pull's own), and otherwise starts an
    aria2c that ends with the pull. It listens on
    loopback only, on a random port with a random secret; both are in a file that only you can read.

    \b
    Examples:
      glm-aria daemon start
      glm-aria daemon status --json
      glm-aria daemon stop
    """


_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@daemon.command()
@CONFIG
@_as_json
def start(as_json: bool) -> None:
    """Start it, unless it runs already."""
    from orchestrator.app.compose import bundle_for_aria2
    from orchestrator.cli import options

    found = _background(create=True).start(bundle_for_aria2(options.settings()))
    _tell("daemon start", {"running": True, "pid": found[0], "url": found[1].url}, as_json=as_json)


@daemon.command()
@_as_json
def stop(as_json: bool) -> None:
    """End it. What it was fetching is kept; the pull that asked for it stops with exit code 71."""
    pid = _background().stop()
    _tell("daemon stop", {"running": False, "pid": pid, "url": None}, as_json=as_json)


@daemon.command()
@_as_json
def status(as_json: bool) -> None:
    """Tell whether it runs, and what it is doing."""
    from orchestrator.aria2.rpc import Rpc

    found = _background().find()
    if not found:
        _tell("daemon status", {"running": False, "pid": None, "url": None}, as_json=as_json)
        return
    pid, endpoint = found
    rpc = Rpc(endpoint)
    try:
        stat = rpc.global_stat()
        data: dict[str, object] = {
            "running": True,
            "pid": pid,
            "url": endpoint.url,
            "aria2": rpc.version(),
            "active": int(stat["numActive"]),
            "waiting": int(stat["numWaiting"]),
            "speed": int(stat["downloadSpeed"]),
        }
    finally:
        rpc.close()
    _tell("daemon status", data, as_json=as_json)


def _background(*, create: bool = False) -> BackgroundDaemon:
    from orchestrator.app.compose import known_state
    from orchestrator.aria2.daemon import BackgroundDaemon
    from orchestrator.cli import options
    from orchestrator.disk.private import runtime_folder, runtime_folders

    def others() -> Iterator[Path]:
        with suppress(GlmAriaError):  # settings that are not needed for the other places
            yield from runtime_folders(lambda: known_state(options.settings()))

    # The settings are read only where the machine has no better place than the cache's.
    return BackgroundDaemon(runtime_folder(lambda: known_state(options.settings(), create=create)), others)


def _tell(command: str, data: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        terminal.document(results.envelope(command, results.judge((), 0), data, ()))
        return
    if not data["running"]:
        terminal.result(f"stopped (pid {data['pid']})" if data["pid"] else "not running")
        return
    line = f"running: pid {data['pid']}, {data['url']}"
    if "active" in data:
        speed = format_speed(int(str(data["speed"])))
        line += f", aria2 {data['aria2']}, {data['active']} active, {data['waiting']} waiting, {speed}"
    terminal.result(line)
