"""`glm-aria cache ls`, `du`, `pin` and `unpin`: what the cache holds, and what stays in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.options import CacheOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views.left_out import say_left_out
from orchestrator.cli.views.table import NOTHING, show
from orchestrator.core.refs import parse_target
from orchestrator.core.sizes import format_size
from orchestrator.core.text import printable, redacted
from orchestrator.upkeep.documents import CacheDocument, PinsDocument, RevisionEntry

if TYPE_CHECKING:
    from orchestrator.shared.document import NodesDocument


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of `cache ls`."""

    by_node: Annotated[
        bool, option("--nodes", help="Show which node of a shared cache uses which model (needs the shared Redis).")
    ]
    place: CacheOptions


@click.command()
@takes(ListOptions)
def ls(options: ListOptions) -> int:
    """List the revisions: their refs, size, last use, trust and pins.

    SIZE is the total of a revision; ALONE is what deleting it would free: other revisions, other models and hard links
    share the rest. TRUST is how its digests were confirmed; a dash means that another program fetched it, and that
    verify can check it.
    """
    settings = shared.settings(options)
    if options.by_node:
        from orchestrator.shared.document import NodesDocument

        uses = NodesDocument.of(services(settings).node_uses())
        return finish(Run(options.place.as_json), "cache ls", uses, _show_nodes)
    found = services(settings).look()

    def show_held(report: CacheDocument) -> None:
        _show_revisions(report, found.closed)

    return finish(Run(options.place.as_json), "cache ls", CacheDocument.of(found), show_held)


def _show_revisions(found: CacheDocument, closed: Mapping[str, str]) -> None:
    """`closed` are the repos that may not be read, with the reason."""
    rows = [(repo.repo, *_revision_row(held)) for repo in found.repos for held in repo.revisions]
    show(("MODEL", "COMMIT", "REFS", "SIZE", "ALONE", "LAST USE", "TRUST", ""), rows)
    terminal.say(printable(f"{format_size(found.size)} in {found.path}"))
    say_left_out(found.left_out)
    for why in closed.values():
        terminal.say(f"skipped: {redacted(why)}")


def _revision_row(held: RevisionEntry) -> tuple[str, ...]:
    return (
        held.commit[:12],
        ",".join(held.refs) or NOTHING,
        format_size(held.size),
        format_size(held.size_alone),
        time.strftime("%Y-%m-%d", time.localtime(held.last_use)),
        held.trust.level if held.trust else NOTHING,
        "pinned" if held.pinned else "",
    )


def _show_nodes(found: NodesDocument) -> None:
    rows = [
        (
            use.node,
            use.model,
            NOTHING if use.last_use is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(use.last_use)),
            "fetching" if use.fetching else "",
        )
        for use in found.nodes
    ]
    show(("NODE", "MODEL", "LAST USE", ""), rows)


@click.command()
@takes(CacheOptions)
def du(place: CacheOptions) -> int:
    """Show the size of each model, the biggest first.

    SIZE counts each distinct file of a model once, ALONE only what no other model shares.
    """
    found = CacheDocument.of(services(shared.settings(place)).look())
    return finish(Run(place.as_json), "cache du", found, _show_sizes)


def _show_sizes(found: CacheDocument) -> None:
    rows = [
        (format_size(repo.size), format_size(repo.size_alone), str(len(repo.revisions)), repo.repo)
        for repo in sorted(found.repos, key=lambda repo: -repo.size)
    ]
    parts = format_size(found.size_of_parts)
    rows.append((parts, parts, "", "unfinished downloads"))
    rows.append((format_size(found.size + found.size_of_parts), "", "", "all together, each file once"))
    show(("SIZE", "ALONE", "REVISIONS", "MODEL"), rows)


@dataclass(frozen=True, slots=True)
class PinOptions:
    """The options of `cache pin` and `cache unpin`."""

    refs: Annotated[tuple[str, ...], argument("REF...", required=True)]
    place: CacheOptions


@click.command()
@takes(PinOptions)
def pin(options: PinOptions) -> int:
    """Pin models: glm-aria removes none of their files until you unpin them.

    org/name pins all revisions; org/name@main pins the commit that this branch has in the cache at the time of removal.
    """
    return _pin("cache pin", options, keep=True)


@click.command()
@takes(PinOptions)
def unpin(options: PinOptions) -> int:
    """Unpin models; give each REF as it was pinned."""
    return _pin("cache unpin", options, keep=False)


def _pin(command: str, options: PinOptions, *, keep: bool) -> int:
    targets = [parse_target(ref) for ref in options.refs]
    by_user = services(shared.settings(options)).pin(targets, keep=keep)
    for target in () if keep else targets:
        if others := [user for user, theirs in by_user.items() if target in theirs]:
            terminal.say(printable(f"{target} stays: {', '.join(others)} pinned it, too"))
    pins = PinsDocument(tuple(sorted(map(str, frozenset().union(*by_user.values())))))
    return finish(Run(options.place.as_json), command, pins, _show_pins)


def _show_pins(found: PinsDocument) -> None:
    for text in found.pins:
        terminal.result(text)
