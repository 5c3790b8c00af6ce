"""`glm-aria mirrors`: who can send bytes, how fast and how fresh; and who is not asked any more."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli import options, terminal
from orchestrator.cli.groups import Headed, HeadedCommand
from orchestrator.cli.views import results
from orchestrator.core.refs import parse_ref
from orchestrator.errors import UsageError
from orchestrator.events import Notice
from orchestrator.settings import Settings


@click.group()
def mirrors() -> None:
    """Who can send bytes, how fast, how fresh, and who lied.

    Sources are the root, and the mirrors of the settings or of --mirror. What pulls and probes measure is remembered,
    and counts less the older it is. A source that sent wrong bytes is put into quarantine: it is asked no more, until
    you release it.

    \b
    Examples:
      glm-aria mirrors ls
      glm-aria mirrors probe zai-org/AutoGLM-Phone-9B
      glm-aria mirrors forgive hf-mirror
    """


@mirrors.command("ls", cls=HeadedCommand)
@options.mirror_options
def list_sources(as_json: bool, **parameters: Any) -> int:
    """Print what is remembered of each source, the first to be asked first. Asks nobody.

    \b
    Examples:
      glm-aria mirrors ls
      glm-aria mirrors ls --json
    """
    from orchestrator.app import services
    from orchestrator.cli.views import sources

    settings = options.settings(parameters)
    known, memory = services.known_mirrors(settings)
    notices = _cautions(settings)
    if as_json:
        data = sources.remembered_data(known, memory)
        terminal.document(results.envelope("mirrors ls", results.judge((), 0), data, notices))
        return 0
    _say(notices)
    sources.show(sources.remembered_table(known, memory))
    return 0


@mirrors.command("probe", cls=HeadedCommand)
@click.argument("ref", required=False)
@click.option("--connections", cls=Headed, heading="What to measure", type=click.IntRange(1, 16), default=8,
              show_default=True, metavar="N",
              help="Connections of the second sample; 1 leaves it out.")  # fmt: skip
@options.mirror_options
def probe(ref: str | None, connections: int, as_json: bool, **parameters: Any) -> int:
    """Measure all sources at once: a second or two, and at most 10 MiB from each.

    With REF, a piece of its largest file is fetched from each, over one connection and over several, and each is asked
    whether it has the model as the root has it. Without, only the way there is measured. The results are remembered
    for later pulls; the bytes are thrown away.

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
    from orchestrator.app import services
    from orchestrator.cli.views import sources
    from orchestrator.mirrors.probe import Bounds
    from orchestrator.mirrors.rank import warnings

    settings = options.settings(parameters)
    if settings.offline:
        raise UsageError(
            f"a probe asks servers, and {settings.origins['offline']} says offline",
            hint="what is remembered: glm-aria mirrors ls",
        )
    wanted = parse_ref(ref) if ref else None
    found = services.probe_mirrors(settings, wanted, Bounds(connections=connections))
    notices = (*_cautions(settings), *warnings((row.source for row in found.rows), found.memory))
    if as_json:
        data = sources.probed_data(found)
        terminal.document(results.envelope("mirrors probe", results.judge((), 0), data, notices))
        return 0
    _say(notices)
    if found.file is not None and found.reference is not None:
        what = f"{found.ref}  commit {found.commit}, from {found.reference.name}; sample: {found.file.path}"
        terminal.result(terminal.printable(what))
    sources.show(sources.probed_table(found))
    return 0


@mirrors.command("forgive", cls=HeadedCommand)
@click.argument("name")
@options.mirror_options
def forgive(name: str, as_json: bool, **parameters: Any) -> int:
    """Release a source from quarantine, by its name or its address.

    \b
    Examples:
      glm-aria mirrors forgive hf-mirror
    """
    from orchestrator.app import services

    settings = options.settings(parameters)
    freed = services.forgive_mirror(settings, name)
    if not freed:
        raise UsageError(f"no source called {name!r} is in quarantine", hint="see them with: glm-aria mirrors ls")
    if as_json:
        terminal.document(results.envelope("mirrors forgive", results.judge((), 0), {"forgiven": list(freed)}))
        return 0
    for address in freed:
        terminal.result(terminal.printable(f"{address} may send bytes again"))
    return 0


def _cautions(settings: Settings) -> tuple[Notice, ...]:
    return tuple(Notice(code, message) for code, message in settings.warnings)


def _say(notices: tuple[Notice, ...]) -> None:
    for notice in notices:
        results.say_notice(notice)
