"""`glm-aria verify`: options to one call of the services, its report as text or JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import Output, SiteChoice
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views.left_out import say_left_out
from orchestrator.core.refs import parse_target
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.documents import Outcome
from orchestrator.errors import IntegrityError, UsageError
from orchestrator.upkeep.documents import ReadFile, VerifyDocument
from orchestrator.upkeep.verify import Health, VerifyReport, VerifyRequest


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """The options of `verify`."""

    refs: Annotated[tuple[str, ...], argument("[REF]...")]
    globs: Annotated[
        tuple[str, ...],
        option("--file", heading="What to verify", metavar="GLOB",
               help="Verify only files that match (repeatable). * also matches /."),
    ]  # fmt: skip
    fast: Annotated[
        bool,
        option("--fast", heading="How",
               help="Compare piece hashes if known: finds corruption at the speed of the disk."),
    ]  # fmt: skip
    repair: Annotated[
        bool,
        option("--repair", heading="How", help="Fetch the corrupt bytes again, and verify the whole file."),
    ]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    sites: SiteChoice
    strict: Annotated[bool, shared.STRICT]
    output: Output


@click.command("verify", cls=HeadedCommand)
@takes(VerifyOptions)
def verify(options: VerifyOptions) -> int:
    """Hash the cached files again; find corrupt ones, and repair them.

    Without a REF, reads the whole cache. REF is org/name for all cached revisions of a model, or org/name@revision for
    one of them; write datasets/ and spaces/ before it as for pull. Needs no network, except for --repair.

    A file is corrupt if its digest does not match: verify names it with the wrong ranges, and exits with 65. --repair
    fetches only these ranges, from any source, and verifies the whole file before it replaces the old one. If no piece
    hashes are known (a pull or a first verify records them), it fetches the whole file.

    \b
    Examples:
      glm-aria verify
      glm-aria verify org/name --fast
      glm-aria verify org/name@main --file '*.safetensors' --repair
    """
    settings = shared.settings(options)
    if options.repair and settings.offline:
        raise UsageError("--repair needs the network, and the settings say offline", hint="unset HF_HUB_OFFLINE")
    run = Run.watching(options.output, settings)
    targets = tuple(map(parse_target, options.refs))
    request = VerifyRequest(targets, options.globs, fast=options.fast)
    with run.watched():
        report = services(settings).verify(request, run.emit, repair=options.repair)

    def show(found: VerifyDocument) -> None:
        for item in found.files:
            terminal.show(_line(item))
        if not run.is_quiet:
            terminal.say(_summary(found, Counter(item.state.value for item in report.files)))
            say_left_out(found.left_out)

    found = VerifyDocument.of(report, with_right=run.as_json or options.output.verbose)
    return finish(run, "verify", found, show, _outcome(report, run, strict=options.strict))


def _outcome(report: VerifyReport, run: Run, *, strict: bool) -> Outcome:
    """As of a pull, but rot outranks what else is wrong: a script asks whether the bytes are right."""
    errors = tuple(item.error for item in report.files if item.error is not None)
    outcome = run.outcome(errors, len(report.files), interrupted=report.interrupted, strict=strict)
    if report.interrupted is None and any(item.state is Health.ROTTEN for item in report.files):
        return Outcome("error", IntegrityError.exit_code, outcome.errors)
    return outcome


def _line(item: ReadFile) -> str:
    repos = ", ".join(dict.fromkeys(name.repo for name in item.used_by))
    ranges = "  bytes " + ", ".join(f"{one.start}-{one.end - 1}" for one in item.ranges) if item.ranges else ""
    return f"{item.state:<8}  {format_size(item.size or 0):>8}  {item.path}{f'  ({repos})' if repos else ''}{ranges}"


def _summary(found: VerifyDocument, counts: Counter[str]) -> str:
    parts = [f"{count} {state}" for state, count in sorted(counts.items())] or ["nothing to verify"]
    parts += [
        f"{format_size(found.bytes_read)} in {format_duration(found.seconds)}",
        format_speed(found.bytes_read / max(found.seconds, 1e-3)),
    ]
    return ", ".join(parts)
