"""`glm-aria cache link` and `cache import`: models out of the cache into a folder, and the other way round."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import click

from orchestrator.cli import options as shared
from orchestrator.cli import requests, terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import CacheOptions, Level, Output, SiteChoice, rule, what
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.refs import parse_target
from orchestrator.core.sizes import format_size
from orchestrator.core.text import counted, printable
from orchestrator.disk import places
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.events import Notice
from orchestrator.layouts.known import LayoutName, ToolName
from orchestrator.lists.quantizations import split_quantization, with_quantization
from orchestrator.lists.request import Item, PullRequest

if TYPE_CHECKING:
    from orchestrator.folders.documents import ImportDocument, ImportedFile, LinkDocument
    from orchestrator.folders.link import LinkReport

_PROGRAMS = ", ".join(get_args(ToolName))


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """The options of `cache link`."""

    model: Annotated[str, argument("MODEL")]
    folder: Annotated[str | None, argument("[DIR]", required=False)]
    reflink: Annotated[
        bool, option("--reflink", help="Share disk blocks until one side is edited; fail if that is impossible.")
    ]
    copy: Annotated[bool, option("--copy", help="Copy, even if blocks could be shared.")]
    hard: Annotated[bool, option("--hard", help="Make hard links: no second copy, but an edit also changes the cache.")]
    sym: Annotated[
        bool, option("--sym", help="Make symlinks: broken once the model is removed; an edit also changes the cache.")
    ]
    layout: Annotated[
        LayoutName,
        option("--layout", default="project", show_default=True, metavar="NAME",
               help="project: checkpoints/, config/ and metadata.json. flat: as in the repo. Or as a program looks for "
               f"models: {_PROGRAMS}."),
    ]  # fmt: skip
    called: Annotated[
        str | None,
        option("--as", metavar="NAME",
               help="With --layout ollama: the name of the model there, such as llama3.2:3b (default: "
               "hf.co/org/name:QUANTISATION)."),
    ]  # fmt: skip
    force: Annotated[
        bool, option("--force", help="Replace files in DIR that were edited, or that glm-aria did not make.")
    ]
    dry_run: Annotated[bool, option("--dry-run", help="Show what would be linked, without doing it.")]
    place: CacheOptions


@click.command("link")
@takes(LinkOptions)
def link(options: LinkOptions) -> int:
    """Put a model of the cache into a folder of yours or of another program, without a network.

    MODEL is org/name, org/name@revision, or org/name:Q4_K_M for one quantisation of GGUF: the folder then has no other
    of that model. In a folder of yours, files share their blocks with the cache if the file
    system can do that (Btrfs, XFS and others), and are copies otherwise, so you may edit them. For another program, DIR
    is its folder for models, found by its own settings if you leave it out; there, large files are hard links to the
    cache if blocks cannot be shared. Run it again to update the folder: without --force it never replaces files that
    you edited, or that it did not make.

    \b
    Examples:
      glm-aria cache link org/name my-project
      glm-aria cache link org/name@v1 models/name --layout flat --sym
      glm-aria cache link org/name --layout lm-studio
      glm-aria cache link org/model-GGUF:Q4_K_M --layout ollama
    """
    modes = (("reflink", options.reflink), ("copy", options.copy), ("hard", options.hard), ("sym", options.sym))
    chosen = [name for name, is_given in modes if is_given]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    from orchestrator.app.out_of_cache import LinkHow
    from orchestrator.folders.documents import LinkDocument

    where = places.absolute(options.folder) if options.folder else None
    text, quantization = split_quantization(options.model)
    mode = chosen[0] if chosen else None
    how = LinkHow(mode, quantization, options.called, force=options.force, dry_run=options.dry_run)
    with _right_way_round(options):
        target = parse_target(text)
        report = services(shared.settings(options)).link(target, where, options.layout, how)
    run = Run(options.place.as_json)
    if report.missing:
        run.emit(_incomplete(report, quantization))
    return finish(run, "cache link", LinkDocument.of(report), _print_linked)


@contextlib.contextmanager
def _right_way_round(options: LinkOptions) -> Iterator[None]:
    """Say which word comes first, where the model is no model but a folder."""
    try:
        yield
    except (NotFoundError, UsageError) as error:
        model, folder = options.model, options.folder
        if folder and places.absolute(model).is_dir() and not places.absolute(folder).is_dir():
            error.hint = f"MODEL comes before DIR: glm-aria cache link {shlex.quote(folder)} {shlex.quote(model)}"
        raise


def _incomplete(report: LinkReport, quantization: str) -> Notice:
    """A warning that the folder is not the whole model: nobody should find that out when loading it fails."""
    name, count = report.repo.url_path, len(report.files) + len(report.missing)
    ref = with_quantization(f"{name}@{report.commit}", quantization)
    message = (
        f"{len(report.missing)} of the {count} files of {name} are not in the cache, {report.missing[0]!r} among them; "
        f"to fetch them: glm-aria pull {shlex.quote(ref)}"
    )
    return Notice("incomplete", message, file=report.missing[0])


def _print_linked(found: LinkDocument) -> None:
    new = [item for item in found.files if item.new]
    size = format_size(sum(item.size for item in new))
    how = ", ".join(sorted({item.mode.value for item in new if item.mode})) or ("dry run" if new else "nothing to do")
    if found.because:
        terminal.say(printable(f"{found.folder} ({found.because})"))
    for reason in dict.fromkeys(item.reason for item in found.left_out):
        paths = [item.path for item in found.left_out if item.reason == reason]
        more = f" and {len(paths) - 1} more" if paths[1:] else ""
        terminal.say(printable(f"left out: {paths[0]}{more}: {reason}"))
    terminal.say(printable(f"{found.repo}: {len(new)} of {len(found.files)} files, {size} ({how})"))
    for command in found.commands:
        terminal.say(printable(f"to use it: {command}"))
    terminal.result(found.folder)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of `cache import`."""

    folder: Annotated[str | None, argument("[DIR]", required=False)]
    layout: Annotated[
        ToolName | None,
        what("--layout", metavar="NAME",
             help="DIR is a folder of this program, or its own if you leave DIR out: also import the models that the "
             f"names in it say. NAME: {_PROGRAMS}."),
    ]  # fmt: skip
    model: Annotated[
        str | None,
        what("--model", metavar="REF", help="Import only the files of this model, as the root lists them."),
    ]
    locked: Annotated[
        str | None,
        what("--locked", metavar="FILE", help="Import only the files of this lock file's models; ask no server."),
    ]
    trust: Annotated[
        Level | None,
        rule("--trust", setting="policy", help="Who must confirm the listing of REF (default: agree)."),
    ]
    offline: Annotated[
        bool, rule("--offline", setting="offline", help="Ask no server: use the listing of REF from an earlier pull.")
    ]
    hard: Annotated[
        bool,
        rule("--hard", help="Hard-link instead of copying where that is possible: DIR's files are then the cache's, "
             "and must not be edited any more."),
    ]  # fmt: skip
    dry_run: Annotated[bool, rule("--dry-run", help="Show what would be imported, without doing it.")]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    sites: SiteChoice
    output: Output


@click.command("import", cls=HeadedCommand)
@takes(ImportOptions)
def import_(options: ImportOptions) -> int:
    """Import files from a folder into the cache, so that pull need not fetch them.

    DIR is any folder: a USB stick, a cache of hf or ModelScope, a ComfyUI folder. Names do not matter: a file is
    imported if its size and digest stand in a listing. Without --model, these are the listings of all models ever
    pulled into this cache; with --model, the listing of REF, from the root as for pull (or a remembered one, with
    --offline); with --locked, those of a lock file, without asking a server. With --layout, or if DIR is the own folder
    of one of those programs, the root is also asked for the listings of the repos that names in DIR say. Each file is
    verified like a download. DIR stays as it is. Afterwards pull fetches only the rest.

    \b
    Examples:
      glm-aria cache import /media/usb --model org/name
      glm-aria cache import ~/ComfyUI/models --dry-run
      glm-aria cache import --layout lm-studio
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    if options.model and options.locked:
        raise UsageError("--model and --locked exclude each other")
    items: tuple[Item, ...] = ()
    if options.locked:
        items = requests.locked_items((), options.locked, None)
    elif options.model:
        items = requests.items((options.model,), (), requests.Selection())
    pull = PullRequest(
        items,
        # A lock file says all that there is to know.
        offline=settings.offline or bool(options.locked),
        policy=settings.policy,
        lock_name=options.locked or "",
        portable=settings.portable,
    )
    from orchestrator.folders.documents import ImportDocument
    from orchestrator.folders.take import ImportRequest
    from orchestrator.layouts.finding import folder_to_read, here

    named = places.absolute(options.folder) if options.folder else None
    chosen = folder_to_read(options.layout, named, here())
    if chosen.at.because and not run.is_quiet:
        terminal.say(printable(f"{chosen.at.folder} ({chosen.at.because})"))
    request = ImportRequest(chosen.at, pull, chosen.layout, hard=options.hard, dry_run=options.dry_run)
    with run.watched():
        report = services(settings).take(request, run.emit)
    failed = {str(file.path) for file in report.files if file.error is not None}
    errors = tuple(file.error for file in report.files if file.error is not None)
    outcome = run.outcome(errors, len(report.files), interrupted=report.interrupted)

    def show(found: ImportDocument) -> None:
        for item in found.files:
            if item.digest is not None or options.output.verbose or item.path in failed:
                _print_imported(item)
        if not run.is_quiet:
            _say_summary(found)

    return finish(run, "cache import", ImportDocument.of(report), show, outcome)


def _print_imported(item: ImportedFile) -> None:
    ref, path = (item.wanted[0].ref, item.wanted[0].path) if item.wanted else ("", item.reason or "")
    terminal.show(f"{item.state.value:<12}  {item.path}  {ref} {path}".rstrip())


def _say_summary(found: ImportDocument) -> None:
    strange = sum(item.state == "unmatched" for item in found.files)
    terminal.say(f"{counted(len(found.files), 'file')} checked, {strange} of no known model")
    if strange and strange == len(found.files):
        terminal.say("to say of which repo they are: --model org/name")
    for left in found.models:
        lacks = f"lacks {counted(left.files_missing, 'file')}, {format_size(left.bytes_missing)}"
        terminal.say(printable(f"{left.ref} {lacks if left.files_missing else 'is complete'}"))
