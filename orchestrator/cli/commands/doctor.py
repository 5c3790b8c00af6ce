"""`glm-aria doctor`: why is it slow, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import SiteOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.network.resolvers import parse_server
from orchestrator.core.refs import parse_ref
from orchestrator.core.text import printable
from orchestrator.disk import places
from orchestrator.errors import UsageError


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """The options of `doctor`."""

    ref: Annotated[str | None, argument("[REF]", required=False)]
    resolvers: Annotated[
        tuple[str, ...],
        option("--resolver", heading="What to measure", metavar="IP[:PORT]",
               help="Also measure this name server (repeatable)."),
    ]  # fmt: skip
    report: Annotated[
        str | None,
        shared.output("--report", metavar="FILE.html", help="Also write a self-contained HTML report with charts."),
    ]
    sites: SiteOptions


@click.command("doctor", cls=HeadedCommand)
@takes(DoctorOptions)
def doctor(options: DoctorOptions) -> int:
    """Find what slows downloads down: measure everything, suggest changes.

    Measures this machine, the network and every source. Takes at most 20 seconds, needs no privileges, and works
    without a network. Fetches parts of the largest file of REF from each source, over 1, 4, 16 and more connections up
    to the budget as long as the rate grows, and discards them: a few seconds of the line, at most 256 MiB of each
    source. Estimates the cost of each finding for REF. Without REF, takes the model that was pulled last; if there is
    none, measures no speeds and estimates costs for 10 GB.

    The findings come last, the most expensive first, each with the measured figure and one command that changes it.
    Where nothing slows the download down, that comes first, with the rate of all sources and the time that REF takes.

    \b
    Examples:
      glm-aria doctor
      glm-aria doctor zai-org/AutoGLM-Phone-9B
      glm-aria doctor zai-org/AutoGLM-Phone-9B --report report.html
      glm-aria doctor --resolver 223.5.5.5 --resolver 1.1.1.1 --json
    """
    from orchestrator.cli.views.diagnosis import print_text
    from orchestrator.doctor.document import DoctorDocument

    settings = shared.settings(options)
    wanted = parse_ref(options.ref) if options.ref else None
    try:
        compared = [parse_server(text) for text in options.resolvers]
    except ValueError as error:
        raise UsageError(str(error), hint="glm-aria doctor --resolver 1.1.1.1") from error
    page = places.absolute(options.report) if options.report else None
    if page is not None and not page.parent.is_dir():
        raise UsageError(f"there is no folder {page.parent}", hint="make it, or write the report elsewhere")
    report = DoctorDocument.of(services(settings).examine(wanted, compared))
    if page is not None:
        from orchestrator.disk.atomic import write_file
        from orchestrator.doctor import page as html

        write_file(page, html.page(report), page.parent, mode=0o600)

    def show(found: DoctorDocument) -> None:
        print_text(found)
        if page is not None:
            terminal.say(printable(f"report: {page}"))

    return finish(Run.warned(settings, as_json=options.sites.as_json), "doctor", report, show)
