"""`glm-aria scheduler`: options to one call of the services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.core.text import counted

if TYPE_CHECKING:
    from orchestrator.swarm.control.document import SchedulerDocument


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """The options of `scheduler`."""

    listen: Annotated[
        str,
        option("--listen", metavar="HOST:PORT", default="127.0.0.1:8091", show_default=True,
               help="Where nodes reach it; 0.0.0.0:8091 is all addresses of this machine, port 0 a free one."),
    ]  # fmt: skip
    redis: Annotated[
        str | None,
        option("--redis", setting="fleet_redis", metavar="URL",
               help="Share the plan with other schedulers over this Redis, and keep it there."),
    ]  # fmt: skip
    site: Annotated[
        str | None,
        option("--site", setting="fleet_site", metavar="NAME",
               help="The name of this site, for schedulers of other sites."),
    ]  # fmt: skip
    link: Annotated[
        tuple[str, ...],
        option("--link", setting="fleet_links", metavar="HOST:PORT",
               help="Tell a scheduler of another site what the nodes here have, and be told the same. Repeatable."),
    ]  # fmt: skip
    config: Annotated[str | None, CONFIG]
    output: Output


@click.command("scheduler", cls=HeadedCommand)
@takes(SchedulerOptions)
def scheduler(options: SchedulerOptions) -> int:
    """Plan which node of a fleet fetches what, and whom it asks for the rest.

    The nodes connect to it: glm-aria node --scheduler HOST:PORT, or glm-aria pull --fleet HOST:PORT. It moves no
    bytes. With --redis any number of schedulers plan for one fleet, and any of them may end; without, what it knows is
    in its memory, and nodes tell it again to the next one.

    Nodes prove that they have the key of the fleet (glm-aria fleet key). With [fleet] certificate and certificate_key
    in the settings it speaks TLS, with authority only to who has a certificate of that authority. Others show a
    token of glm-aria token create on this machine: with any role they watch, with that of an admin they also drain and
    cancel. To submit takes the key.

    Schedulers of several sites each plan for their own nodes. With --site at both, and --link at one of them, they
    tell each other what their nodes have, so that both together fetch one copy.

    Ctrl-C and SIGTERM stop it.

    \b
    Examples:
      glm-aria scheduler --listen 0.0.0.0:8091
      glm-aria scheduler --listen 0.0.0.0:8091 --redis redis://10.0.0.1:6379
      glm-aria scheduler --listen 0.0.0.0:8091 --site rome --link paris-head:8091
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    host, _, port = options.listen.rpartition(":")
    host = host or "127.0.0.1"
    tell = terminal.say if options.output.as_json else terminal.result

    with run.watched():
        ended = services(settings).fleet.schedule(
            f"{host}:{port}", run.emit_lasting, lambda port: tell(f"{host}:{port}")
        )
    from orchestrator.swarm.control.document import SchedulerDocument

    return finish(run, "scheduler", SchedulerDocument(f"{host}:{ended.port}", ended.tasks), _print, run.outcome())


def _print(found: SchedulerDocument) -> None:
    terminal.say(f"stopped; it knew {counted(found.tasks, 'task')}")
