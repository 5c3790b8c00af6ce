"""`glm-aria doctor`: why is it slow, and what to change."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli import options, terminal
from orchestrator.cli.groups import Headed, HeadedCommand
from orchestrator.cli.views import results
from orchestrator.core.refs import parse_ref
from orchestrator.core.resolvers import parse_server
from orchestrator.disk import places
from orchestrator.errors import UsageError
from orchestrator.events import Notice


@click.command("doctor", cls=HeadedCommand)
@click.argument("ref", required=False)
@click.option("--resolver", "resolvers", cls=Headed, heading="What to measure", multiple=True, metavar="IP[:PORT]",
              help="Also measure this name server; may be given again.")  # fmt: skip
@click.option("--report", cls=Headed, heading="Output", metavar="FILE.html",
              help="Also write a page with pictures, which needs nothing else.")  # fmt: skip
@options.mirror_options
def doctor(ref: str | None, resolvers: tuple[str, ...], report: str | None, as_json: bool, **parameters: Any) -> int:
    """Why is it slow? Measure everything, and say what to change.

    Measures this machine, the network and every source. Takes 20 seconds at most, needs no privilege, and works without
    a network. A few MiB of the largest file of REF are fetched from each source, over 1, 4 and 16 connections, and
    thrown away; what costs how much is told for REF. Without REF it is the model that was pulled last. Where there is
    none, speeds are not measured, and costs are told for 10 GB.

    The findings come last, the dearest first, each with the figure that was measured and one command that changes it.

    \b
    Examples:
      glm-aria doctor
      glm-aria doctor zai-org/AutoGLM-Phone-9B
      glm-aria doctor zai-org/AutoGLM-Phone-9B --report report.html
      glm-aria doctor --resolver 223.5.5.5 --resolver 1.1.1.1 --json
    """
    from orchestrator.app import services
    from orchestrator.cli.views import diagnosis

    settings = options.settings(parameters)
    wanted = parse_ref(ref) if ref else None
    try:
        compared = [parse_server(text) for text in resolvers]
    except ValueError as error:
        raise UsageError(str(error), hint="glm-aria doctor --resolver 1.1.1.1") from error
    page = places.absolute(report) if report else None
    if page is not None and not page.parent.is_dir():
        raise UsageError(f"there is no folder {page.parent}", hint="make it, or write the report elsewhere")
    found = services.examine(settings, wanted, compared)
    notices = [Notice(code, message) for code, message in settings.warnings]
    if page is not None:
        from orchestrator.disk.atomic import write_file
        from orchestrator.doctor import page as html

        write_file(page, html.page(found), page.parent, mode=0o600)
    if as_json:
        terminal.document(results.envelope("doctor", results.judge((), 0), diagnosis.data(found), notices))
        return 0
    for notice in notices:
        results.say_notice(notice)
    diagnosis.print_text(found)
    if page is not None:
        terminal.say(terminal.printable(f"report: {page}"))
    return 0
