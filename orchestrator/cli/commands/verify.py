"""`glm-aria verify`: options to one call of the wiring, its report as text or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options, terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.run import Run
from orchestrator.cli.views import results
from orchestrator.cli.views.results import Verdict
from orchestrator.core.refs import parse_target
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.errors import GlmAriaError, IntegrityError, UsageError
from orchestrator.events import Notice

if TYPE_CHECKING:
    from orchestrator.upkeep.verify import Verified, VerifyReport


@click.command("verify", cls=HeadedCommand)
@click.argument("refs", metavar="[REF]...", nargs=-1)
@options.verify_options
def verify(**parameters: Any) -> int:
    """Read what is in the cache again; find rot, and repair it.

    Without a REF all of the cache is read. REF is org/name for all revisions of a model that are here, or
    org/name@revision for one of them; datasets/ and spaces/ go before it as for pull. No network is needed, except
    for --repair.

    A file whose bytes are not those of its digest is rotten: it is named with the ranges that are wrong, and the exit
    code is 65. With --repair only these ranges are fetched, from any source; the whole is proven again before it takes
    the place of the old file. Where no piece hashes are known (they come with a pull, or with a first verify), all of
    the file is fetched.

    \b
    Examples:
      glm-aria verify
      glm-aria verify org/name --fast
      glm-aria verify org/name@main --file '*.safetensors' --repair
    """
    settings = options.settings(parameters)
    if parameters["repair"] and settings.offline:
        raise UsageError("--repair fetches what is rotten, and the settings say offline", hint="unset HF_HUB_OFFLINE")
    run = Run.of(parameters, settings)
    from orchestrator.app import services
    from orchestrator.upkeep.verify import VerifyRequest

    request = VerifyRequest(
        tuple(parse_target(ref) for ref in parameters["refs"]),
        parameters["globs"],
        fast=parameters["fast"],
    )
    with run.watched():
        report = services.run_verify(settings, request, run.emit, repair=parameters["repair"])
    notices = run.all_notices(report.notices)
    verdict = _judge(run.explained(_errors(report)), report, notices, strict=parameters["strict"])
    run.say_missed(notices)
    if parameters["as_json"]:
        terminal.document(document(report, verdict, notices))
    else:
        _print(report, verdict, quiet=run.is_quiet, verbose=parameters["verbose"])
    return verdict.exit_code


def _errors(report: VerifyReport) -> tuple[GlmAriaError, ...]:
    return tuple(item.error for item in report.files if item.error is not None)


def _judge(
    errors: tuple[GlmAriaError, ...], report: VerifyReport, notices: tuple[Notice, ...], *, strict: bool
) -> Verdict:
    """As of a pull, but rot outranks what else is wrong: a script asks whether the bytes are right."""
    verdict = results.judge(errors, len(report.files), notices, interrupted=report.interrupted, strict=strict)
    is_rotten = any(item.state == "rotten" for item in report.files)
    if is_rotten and report.interrupted is None:
        return Verdict("error", IntegrityError.exit_code, verdict.errors)
    return verdict


def document(report: VerifyReport, verdict: Verdict, notices: Iterable[Notice]) -> dict[str, object]:
    """The document of `verify`."""
    data = {
        "files": [_file(item) for item in report.files],
        "bytes_read": _bytes_read(report),
        "bytes_fetched": sum(sum(item.sources.values()) for item in report.files),
        "seconds": round(report.seconds, 3),
        "left_out": [str(path) for path in report.left_out],
    }
    return results.envelope("verify", verdict, data, notices)


def _file(item: Verified) -> dict[str, Any]:
    stock = item.stock
    places = [stock.real, *(place for _, place in stock.places)]
    return {
        "path": stock.label,
        "size": stock.size if stock.size is not None else stock.found.st_size if stock.found else None,
        "digest": str(stock.digest) if stock.digest else None,
        "state": item.state.value,
        "method": "pieces" if item.is_fast else "digest",
        "ranges": [{"start": start, "end": end} for start, end in item.ranges],
        "used_by": [{"repo": n.repo.url_path, "commit": n.commit, "path": n.path} for n in stock.names],
        "places": [str(place) for place in dict.fromkeys(places) if place is not None],
        "sources": dict(item.sources),
    }


def _bytes_read(report: VerifyReport) -> int:
    read = (item.stock.found for item in report.files if item.state not in ("missing", "unproven"))
    return sum(found.st_size for found in read if found is not None)


def _print(report: VerifyReport, verdict: Verdict, *, quiet: bool, verbose: bool) -> None:
    for item in report.files:
        if verbose or item.state != "ok":
            terminal.result(terminal.printable(_line(item)))
    if not quiet:
        terminal.say(_summary(report))
        results.say_left_out([str(path) for path in report.left_out])
    for error in verdict.errors:
        results.say_error(error)


def _line(item: Verified) -> str:
    size = format_size(item.stock.size or (item.stock.found.st_size if item.stock.found else 0))
    repos = ", ".join(dict.fromkeys(name.repo.url_path for name in item.stock.names))
    ranges = "  bytes " + ", ".join(f"{start}-{end - 1}" for start, end in item.ranges) if item.ranges else ""
    return f"{item.state:<8}  {size:>8}  {item.stock.label}{f'  ({repos})' if repos else ''}{ranges}"


def _summary(report: VerifyReport) -> str:
    counts = Counter(item.state.value for item in report.files)
    read = _bytes_read(report)
    parts = [f"{count} {state}" for state, count in sorted(counts.items())] or ["nothing to verify"]
    parts += [
        f"{format_size(read)} in {format_duration(report.seconds)}",
        format_speed(read / max(report.seconds, 1e-3)),
    ]
    return ", ".join(parts)
