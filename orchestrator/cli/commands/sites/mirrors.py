"""`glm-aria mirrors`: who can send bytes, how fast and how fresh; and who is not asked any more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import SiteOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.refs import parse_ref
from orchestrator.errors import UsageError


@click.group()
def mirrors() -> None:
    """Show and measure the sources: speed, freshness, quarantine.

    Sources are the root, and the mirrors of the settings or of --mirror. glm-aria remembers what pulls and probes
    measure; older measurements count less. A source that sent wrong bytes goes into quarantine: it is not used until
    you release it.

    \b
    Examples:
      glm-aria mirrors ls
      glm-aria mirrors probe zai-org/AutoGLM-Phone-9B
      glm-aria mirrors forgive hf-mirror
    """


@mirrors.command("ls", cls=HeadedCommand)
@takes(SiteOptions)
def list_sources(options: SiteOptions) -> int:
    """List the sources with their measurements, the best first; ask no server.

    \b
    Examples:
      glm-aria mirrors ls
      glm-aria mirrors ls --json
    """
    from orchestrator.cli.views.sources import show_known
    from orchestrator.doctor.source_documents import KnownSources

    settings = shared.settings(options)
    known, memory = services(settings).known_mirrors()
    run = Run.warned(settings, as_json=options.as_json)
    return finish(run, "mirrors ls", KnownSources.of(known, memory), lambda found: show_known(found, time.time()))


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The options of `mirrors probe`."""

    ref: Annotated[str | None, argument("[REF]", required=False)]
    connections: Annotated[
        int,
        option("--connections", heading="What to measure", type=click.IntRange(1, 16), default=8, show_default=True,
               metavar="N", help="Connections of the second sample; 1 skips it."),
    ]  # fmt: skip
    sites: SiteOptions


@mirrors.command("probe", cls=HeadedCommand)
@takes(ProbeOptions)
def probe(options: ProbeOptions) -> int:
    """Measure all sources in parallel: about 2 s, and at most 10 MiB from each.

    With REF, fetches a piece of its largest file from each source, over one connection and over several, and asks each
    whether it has the same commit as the root. Without REF, measures only latency and connection. Remembers the results
    for later pulls, and discards the bytes.

    \b
    Columns:
      latency  of a small request over an open connection; ± is how much it varies
      lost     of those requests, how many had no answer
      MB/s 1   over one connection; beside it over several. All sources are measured
               at the same time, so they share your line
      commit   fresh: as the root has it; stale: another version; absent: does not have it
      ranges   whether a part of a file can be asked for
      HTTP     versions that are offered; aria2 speaks 1.1

    \b
    Examples:
      glm-aria mirrors probe
      glm-aria mirrors probe zai-org/AutoGLM-Phone-9B
      glm-aria mirrors probe org/name --mirror http://10.0.0.5:8000 --json
    """
    from orchestrator.cli.views.sources import show_probed
    from orchestrator.doctor.source_documents import ProbeDocument
    from orchestrator.mirrors.probe import Bounds
    from orchestrator.mirrors.rank import warnings

    settings = shared.settings(options)
    if settings.offline:
        raise UsageError(
            f"a probe needs the network, and {settings.origins['offline']} says offline",
            hint="for earlier measurements: glm-aria mirrors ls",
        )
    wanted = parse_ref(options.ref) if options.ref else None
    found = services(settings).probe(wanted, Bounds.over(options.connections))
    run = Run.warned(settings, as_json=options.sites.as_json)
    run.emit(*warnings((row.source, row.quarantine) for row in found.rows))

    def show(report: ProbeDocument) -> None:
        if report.file is not None and report.reference is not None:
            listed = f"commit {report.commit}, from {report.reference}"
            terminal.show(f"{report.ref}  {listed}; sample: {report.file}")
        show_probed(report)

    return finish(run, "mirrors probe", ProbeDocument.of(found), show)


@dataclass(frozen=True, slots=True)
class ForgiveOptions:
    """The options of `mirrors forgive`."""

    name: Annotated[str, argument("NAME")]
    sites: SiteOptions


@mirrors.command("forgive", cls=HeadedCommand)
@takes(ForgiveOptions)
def forgive(options: ForgiveOptions) -> int:
    """Release a source from quarantine, by its name or its address.

    \b
    Examples:
      glm-aria mirrors forgive hf-mirror
    """
    from orchestrator.doctor.source_documents import ForgivenDocument

    name = options.name
    freed = services(shared.settings(options)).forgive_mirror(name)
    if not freed:
        raise UsageError(f"no source called {name!r} is in quarantine", hint="see them with: glm-aria mirrors ls")

    def show(found: ForgivenDocument) -> None:
        for address in found.forgiven:
            terminal.show(f"{address} may send bytes again")

    return finish(Run(options.sites.as_json), "mirrors forgive", ForgivenDocument(freed), show)
