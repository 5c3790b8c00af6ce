"""`glm-aria export`: a model in the cache as a BitTorrent file or a Metalink, for those who have such a system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.options import CacheOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.refs import parse_target
from orchestrator.core.sizes import format_size
from orchestrator.core.text import printable
from orchestrator.disk import places
from orchestrator.errors import UsageError
from orchestrator.events import Notice

if TYPE_CHECKING:
    from orchestrator.exports.document import ExportDocument
    from orchestrator.exports.export import ExportReport


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The options of `export`."""

    model: Annotated[str, argument("MODEL")]
    torrent: Annotated[
        str | None, option("--torrent", metavar="FILE", help="Write a BitTorrent file, with the sources as web seeds.")
    ]
    metalink: Annotated[
        str | None,
        option("--metalink", metavar="FILE", help="Write a Metalink: all addresses of each file, and its sha256."),
    ]
    trackers: Annotated[
        tuple[str, ...], option("--tracker", metavar="URL", help="A tracker for the torrent (repeatable).")
    ]
    closed: Annotated[
        bool,
        option("--closed", help="Describe a model that is gated or private, or was never listed here, too: it gets no "
               "addresses, and tells all who read it the paths and digests."),
    ]  # fmt: skip
    place: CacheOptions


@click.command()
@takes(ExportOptions)
def export(options: ExportOptions) -> int:
    """Describe a model in the cache for BitTorrent or Metalink programs.

    MODEL is org/name, or org/name@revision. For a torrent every file is read and proven first; for a Metalink those
    that were never proven here, or whose sha256 is not known. No server is asked, and no token is written. The torrent
    of a revision is the same on every machine that has all of it; its folder is called as the commit is, so the folder
    `snapshots` of a model in the cache can be seeded as it is.

    \b
    Examples:
      glm-aria export org/name --torrent name.torrent --tracker http://tracker.lan:6969/announce
      glm-aria export org/name@v1 --metalink name.meta4
    """
    from orchestrator.exports.document import ExportDocument
    from orchestrator.exports.export import ExportKind, ExportRequest

    given = {ExportKind.TORRENT: options.torrent, ExportKind.METALINK: options.metalink}
    chosen = [(kind, path) for kind, path in given.items() if path is not None]
    if len(chosen) != 1:
        raise UsageError("name one file to write", hint="--torrent FILE or --metalink FILE; for both, run it twice")
    if options.trackers and options.torrent is None:
        raise UsageError("--tracker needs --torrent")
    ((kind, path),) = chosen
    target, place = parse_target(options.model), places.absolute(path)
    report = services(shared.settings(options)).export(
        ExportRequest(target, kind, place, options.trackers, is_closed_too=options.closed)
    )
    run = Run(options.place.as_json)
    if report.missing:
        run.emit(_incomplete(report))
    return finish(run, "export", ExportDocument.of(report), _print)


def _incomplete(report: ExportReport) -> Notice:
    """A warning that the description is not that of the whole model: its torrent has another swarm."""
    count = report.files + len(report.missing)
    message = (
        f"{len(report.missing)} of {count} files are not in the cache, {report.missing[0]!r} among them, and so not in "
        f"{report.path.name}; glm-aria pull {report.repo.url_path}@{report.commit} fetches them"
    )
    return Notice("incomplete", message, file=report.missing[0])


def _print(found: ExportDocument) -> None:
    size, addresses = format_size(found.size), f"{found.addresses} addresses each"
    terminal.say(printable(f"{found.repo}@{found.commit[:12]}: {found.files} files, {size}, {addresses}"))
    if found.info_hash:
        terminal.say(f"swarm {found.info_hash}")
    terminal.result(found.path)
