"""`glm-aria cache link` and `cache import`: models out of the cache into a folder, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options, requests, terminal
from orchestrator.cli.groups import CONFIG, HeadedCommand
from orchestrator.cli.run import Run
from orchestrator.cli.views import results
from orchestrator.core.refs import parse_ref, parse_target
from orchestrator.core.sizes import format_size
from orchestrator.disk import places
from orchestrator.errors import UsageError
from orchestrator.events import Notice
from orchestrator.lists.request import Item, PullRequest

if TYPE_CHECKING:
    from orchestrator.folders.link import LinkReport
    from orchestrator.folders.take import Imported, ImportReport


@click.command("link")
@click.argument("model", metavar="MODEL")
@click.argument("folder", metavar="DIR")
@click.option("--reflink", is_flag=True, help="Share the blocks on disk until one side is written, or fail.")
@click.option("--copy", is_flag=True, help="Copy, even where blocks could be shared.")
@click.option("--hard", is_flag=True, help="Hard links: no second copy, but an edit reaches into the cache.")
@click.option("--sym", is_flag=True, help="Symlinks to the cache: gone with the model, and an edit reaches it.")
@click.option(
    "--layout",
    type=click.Choice(["flat", "project"]),
    default="project",
    show_default=True,
    help="project: checkpoints/, config/ and metadata.json. flat: as in the repo.",
)
@click.option("--force", is_flag=True, help="Replace files in DIR that are not glm-aria's, or were edited.")
@click.option("--cache-dir", metavar="DIR", help="The cache, as HF_HUB_CACHE means it.")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def link(model: str, folder: str, layout: str, force: bool, as_json: bool, **parameters: Any) -> None:
    """Make a project folder of a model in the cache, without a network.

    MODEL is org/name, or org/name@revision. Files share their blocks with the cache where the file system can (Btrfs,
    XFS and others) and are copies elsewhere, so they are yours to edit. Once more, it updates the folder: files that
    were edited, or that it did not make, are never replaced without --force.

    \b
    Examples:
      glm-aria cache link org/name my-project
      glm-aria cache link org/name@v1 models/name --layout flat --sym
    """
    chosen = [name for name in ("reflink", "copy", "hard", "sym") if parameters.pop(name)]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    target = parse_target(model)
    from orchestrator.app import services

    settings = options.settings(parameters)
    where = places.absolute(folder)
    report = services.link(settings, target, where, layout, chosen[0] if chosen else "auto", force=force)
    notices = _incomplete(report)
    if as_json:
        terminal.document(results.envelope("cache link", results.judge((), 0), linked(report), notices))
        return
    for notice in notices:
        results.say_notice(notice)
    new = [item for item in report.files if item.is_new]
    size = format_size(sum(item.sample.file.size for item in new))
    how = ", ".join(sorted({item.mode.value for item in new})) or "nothing to do"
    terminal.say(terminal.printable(f"{report.repo.url_path}: {len(new)} of {len(report.files)} files, {size} ({how})"))
    terminal.result(str(report.folder))


def _incomplete(report: LinkReport) -> tuple[Notice, ...]:
    """A warning when the folder is not the whole model: nobody should find that out when loading it fails."""
    if not report.missing:
        return ()
    name, count = report.repo.url_path, len(report.files) + len(report.missing)
    message = (
        f"{len(report.missing)} of the {count} files of {name} are not in the cache, {report.missing[0]!r} among them; "
        f"glm-aria pull {report.repo.url_path}@{report.commit} fetches them"
    )
    return (Notice("incomplete", message, file=report.missing[0]),)


def linked(report: LinkReport) -> dict[str, object]:
    """The data of the JSON document."""
    return {
        "repo": report.repo.url_path,
        "commit": report.commit,
        "trust": results.trust_of(report.trust) if report.trust else None,
        "folder": str(report.folder),
        "files": [
            {
                "path": item.sample.file.path,
                "place": item.place,
                "size": item.sample.file.size,
                "digest": str(item.sample.file.digest),
                "mode": item.mode.value,
                "new": item.is_new,
            }
            for item in report.files
        ],
    }


@click.command("import", cls=HeadedCommand)
@click.argument("folder", metavar="DIR")
@options.import_options
def import_(folder: str, dry_run: bool, **parameters: Any) -> int:
    """Take files that are on disk already into the cache, so that nothing is fetched twice.

    DIR is any folder: a USB stick, a cache of hf or ModelScope, a ComfyUI folder. Names do not matter: a file is taken
    when its size and digest are those of a listing. Without --model these are the listings of all models that were ever
    pulled into this cache; with it, that of REF, asked from the root as pull does (or known, with --offline); with
    --locked, those of a lock file, and nobody is asked. What is taken is proven as a download is. DIR is left as it is.
    Afterwards pull fetches only the rest.

    \b
    Examples:
      glm-aria cache import /media/usb --model org/name
      glm-aria cache import ~/ComfyUI/models --dry-run
    """
    settings = options.settings(parameters)
    run = Run.of(parameters, settings)
    if parameters["model"] and parameters["locked"]:
        raise UsageError("--model and --locked exclude each other")
    items: tuple[Item, ...] = ()
    if parameters["locked"]:
        items = requests.locked_items((), parameters["locked"], None)
    elif parameters["model"]:
        items = (Item(parse_ref(parameters["model"])),)
    pull = PullRequest(
        items,
        # A lock file says all that there is to know.
        offline=settings.offline or bool(parameters["locked"]),
        policy=settings.policy,
        lock_name=parameters["locked"] or "",
        portable=settings.portable,
    )
    from orchestrator.app import services
    from orchestrator.folders.take import ImportRequest

    where = places.absolute(folder)
    with run.watched():
        report = services.run_import(
            settings, ImportRequest(where, pull, hard=parameters["hard"], dry_run=dry_run), run.emit
        )
    notices = run.all_notices(())
    errors = tuple(file.error for file in report.files if file.error is not None)
    verdict = results.judge(errors, len(report.files), notices, interrupted=report.interrupted)
    run.say_missed(notices)
    if parameters["as_json"]:
        terminal.document(results.envelope("cache import", verdict, imported(report), notices))
    else:
        _print(report, quiet=run.is_quiet, verbose=parameters["verbose"])
        for error in verdict.errors:
            results.say_error(error)
    return verdict.exit_code


def imported(report: ImportReport) -> dict[str, object]:
    """The data of the JSON document."""
    return {
        "dry_run": report.is_dry,
        "files": [_file(item) for item in report.files],
        "models": [
            {"ref": str(left.ref), "commit": left.commit, "files_missing": left.files, "bytes_missing": left.bytes}
            for left in report.models
        ],
        "bytes_imported": sum(item.size for item in report.files if item.state == "imported"),
    }


def _file(item: Imported) -> dict[str, object]:
    return {
        "path": str(item.path),
        "size": item.size,
        "state": item.state.value,
        "digest": str(item.digest) if item.digest else None,
        "wanted": [{"ref": str(ref), "path": path} for ref, path in item.wanted],
        "mode": item.mode.value if item.mode else None,
        "reason": item.reason,
    }


def _print(report: ImportReport, *, quiet: bool, verbose: bool) -> None:
    for item in report.files:
        if item.digest is not None or verbose or item.error is not None:
            ref, path = item.wanted[0] if item.wanted else ("", item.reason or "")
            terminal.result(terminal.printable(f"{item.state.value:<12}  {item.path}  {ref} {path}".rstrip()))
    if quiet:
        return
    strange = sum(item.state == "unmatched" for item in report.files)
    terminal.say(f"{len(report.files)} files looked at, {strange} of no known model")
    for left in report.models:
        rest = f"lacks {left.files} files, {format_size(left.bytes)}" if left.files else "is complete"
        terminal.say(terminal.printable(f"{left.ref} {rest}"))
