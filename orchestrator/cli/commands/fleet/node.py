"""`glm-aria node`: options to one call of the services."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.commands.desired.follow import FollowOptions, follow, is_said, request_of
from orchestrator.cli.commands.fleet.tasks import SCHEDULER
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import Output, SiteChoice
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.core.text import counted
from orchestrator.errors import UsageError
from orchestrator.swarm.control.document import NodeDocument


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """The options of `node`."""

    scheduler: Annotated[str | None, SCHEDULER]
    follow: Annotated[
        tuple[str, ...],
        option("--follow", metavar="SRC",
               help="Keep the set of models that this source desires: a file, a folder, git+https://…//PATH@REF or "
               "oci://…:TAG. Of several, a later one counts more."),
    ]  # fmt: skip
    interval: Annotated[
        str,
        option("--interval", metavar="TIME", default="5m", show_default=True,
               help="With --follow: look at its sources about this often."),
    ]  # fmt: skip
    allow_rollback: Annotated[
        bool,
        option("--allow-rollback",
               help="With --follow and --allowed-signers: take a signed state that is older than the last one."),
    ]  # fmt: skip
    once: Annotated[bool, option("--once", help="With --follow: end when the set is as desired, or cannot be.")]
    on_change: Annotated[
        str | None,
        option("--on-change", metavar="CMD", help="With --follow: run this with sh -c each time the set has flipped."),
    ]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    state: FollowOptions
    listen: Annotated[
        str | None,
        option("--listen", setting="fleet_listen", metavar="ADDRESS:PORT",
               help="Where other nodes reach this one (default: port 8092 of all its IPv4 addresses)."),
    ]  # fmt: skip
    zone: Annotated[
        str | None, option("--zone", setting="fleet_zone", metavar="NAME", help="Its zone: peers of it come first.")
    ]
    sites: SiteChoice
    max_speed: Annotated[str | None, shared.MAX_SPEED]
    output: Output


@click.command("node", cls=HeadedCommand)
@takes(NodeOptions)
def node(options: NodeOptions) -> int:
    """Fetch what the schedulers of a fleet have for this machine, and share it.

    It takes the tasks of glm-aria fleet submit whose selector matches its name, which it prints, or its zone. Each is
    pulled as its lock file says, into the cache of this machine: from outside what a scheduler wants it to fetch for
    all, the rest from its peers. Every file is proven here before it is placed. When no scheduler answers for ten
    seconds, the nodes agree among themselves.

    It needs the key of the fleet (glm-aria fleet key). Ctrl-C and SIGTERM stop it, glm-aria fleet drain NODE ends it
    once others have what it alone has; partial downloads are kept.

    With --follow it needs no fleet: it keeps a set of models as its sources desire it, also while they are away. The
    set is staged as a whole, proven, and given to readers of SETS/NAME/current by one rename. With --scheduler, its
    downloads are shared with the fleet.

    \b
    Examples:
      glm-aria node --scheduler head:8091
      glm-aria node --scheduler head-1:8091,head-2:8091 --listen 10.0.0.7:8092 --zone rack-2
      glm-aria node --follow git+https://git.example/org/fleet.git//edge.toml@main --label zone=edge-7
      glm-aria node --follow /etc/site --status-listen 127.0.0.1:8093
    """
    if options.follow:
        request = request_of(options.follow, options.state, options.interval, once=options.once)
        request = replace(request, may_go_back=options.allow_rollback)
        return follow("node", request, options.on_change, shared.settings(options), options.output)
    if is_said(options.state) or options.once or options.on_change or options.allow_rollback:
        raise UsageError("the options of a set need its source", hint="glm-aria node --follow SRC")
    run = Run.watching(options.output, settings := shared.settings(options))
    tell = terminal.say if options.output.as_json else terminal.result
    with run.watched():
        ended = services(settings).fleet.node(run.emit_lasting, tell)
    return finish(run, "node", NodeDocument(ended.name, ended.tasks), _print, run.outcome())


def _print(found: NodeDocument) -> None:
    terminal.say(f"stopped after {counted(found.tasks, 'task')}")
