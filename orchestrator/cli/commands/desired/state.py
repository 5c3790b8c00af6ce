"""`glm-aria state`: a set of models as an archive, and the hash that names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.commands.desired.follow import SetPlace
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output, SiteChoice
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.sizes import format_size
from orchestrator.core.text import counted, printable
from orchestrator.desired.document import CarriedSetDocument, SetDigestDocument
from orchestrator.desired.wish.address import parse_source
from orchestrator.disk import places
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.desired.carrying import CarriedSet

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


@click.group()
def state() -> None:
    """Carry a set of models to a machine without a network; the hash that names it.

    The sets are those of glm-aria node --follow. One hash names a set: all of its bytes, where they lie in it, and the
    settings that decide what it may hold.

    \b
    Examples:
      glm-aria state digest
      glm-aria state export /media/usb/site.tar
      glm-aria state import /media/usb/site.tar --digest sha256:…
    """


@dataclass(frozen=True, slots=True)
class DigestOptions:
    """The options of `state digest`."""

    sources: Annotated[tuple[str, ...], argument("[SRC]...")]
    place: SetPlace
    label: Annotated[
        tuple[str, ...],
        option("--label", setting="node_labels", metavar="KEY=VALUE", help="A label of the node (repeatable)."),
    ]
    sites: SiteChoice
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    output: Output


@dataclass(frozen=True, slots=True)
class StateExportOptions:
    """The options of `state export`."""

    out: Annotated[str, argument("OUT")]
    place: SetPlace
    config: Annotated[str | None, CONFIG]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    output: Output


@dataclass(frozen=True, slots=True)
class StateImportOptions:
    """The options of `state import`."""

    archive: Annotated[str, argument("ARCHIVE")]
    place: SetPlace
    digest: Annotated[str | None, option("--digest", metavar="sha256:HEX", help="Refuse any other set than this one.")]
    config: Annotated[str | None, CONFIG]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    output: Output


@click.command("digest", cls=HeadedCommand)
@takes(DigestOptions)
def digest(options: DigestOptions) -> int:
    """Print the hash of the set that readers have, or of what a source desires for this node.

    What the source does not lock is asked at the root, so the hash of such a source changes when a branch moves.
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    sources = tuple(map(parse_source, options.sources))
    with run.watched():
        found = services(settings).desired.digest(options.place.name, options.place.folder, sources, run.emit)
    return finish(run, "state digest", SetDigestDocument(found), lambda one: terminal.result(one.digest), run.outcome())


@click.command("export", cls=HeadedCommand)
@takes(StateExportOptions)
def export(options: StateExportOptions) -> int:
    """Write the set that readers have into OUT: all of its files, the lock and the status.

    OUT is a tar if it ends with .tar, else a folder; either is an OCI image layout, which skopeo and oras copy, too.
    Each file is hashed while it is written.
    """
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    with run.watched():
        place = options.place
        found = services(settings).desired.export(place.name, place.folder, places.absolute(options.out))
    return finish(run, "state export", _document(found), _print_export, run.outcome())


@click.command("import", cls=HeadedCommand)
@takes(StateImportOptions)
def take(options: StateImportOptions) -> int:
    """Take a set out of an archive into the cache, and give it to readers by one rename. Asks no server.

    Every file must be what the lock of the set says, or nothing flips. What the archive says of itself proves only that
    it is whole: with --digest it is the set that you mean.
    """
    if options.digest is not None and not _DIGEST.fullmatch(options.digest):
        raise UsageError(f"{options.digest!r} is not the digest of a set", hint="glm-aria state digest prints it")
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    with run.watched():
        place, archive = options.place, places.absolute(options.archive)
        found = services(settings).desired.take(place.name, place.folder, archive, options.digest, run.emit)
    return finish(run, "state import", _document(found), _print_import, run.outcome())


def _document(found: CarriedSet) -> CarriedSetDocument:
    return CarriedSetDocument(
        found.name, found.digest, found.manifest, str(found.path), found.models, found.files, found.bytes, found.fetched
    )


def _print_export(found: CarriedSetDocument) -> None:
    terminal.result(found.digest)
    what = f"{counted(found.models, 'model')}, {counted(found.files, 'file')}, {format_size(found.bytes)}"
    terminal.say(printable(f"{found.path}: {what}"))


def _print_import(found: CarriedSetDocument) -> None:
    terminal.result(found.digest)
    came = f"{format_size(found.fetched)} of {format_size(found.bytes)} came from the archive"
    terminal.say(printable(f"readers of the set {found.set} have it now: {found.path}; {came}"))


for command in (digest, export, take):
    state.add_command(command)
