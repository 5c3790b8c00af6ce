"""The table of what a search found."""

from __future__ import annotations

from orchestrator.catalogs.search.document import FoundEntry, SearchDocument
from orchestrator.catalogs.search.interface import RepoAccess
from orchestrator.cli import terminal
from orchestrator.cli.views.table import NOTHING, ago, show
from orchestrator.core.dialects import DEFAULT, OWN, dialects
from orchestrator.core.sizes import format_size

_SHORT_TITLES = {DEFAULT: "Hub", OWN: "registry"}
_UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def show_found(found: SearchDocument, *, now: float) -> None:
    """Each repo on a line; below it its quantisations. `now` is unix seconds."""
    if not found.found:
        terminal.say(f"no {found.type} of this name was found: {found.words}")
        if any(mark in found.words for mark in ":@"):
            terminal.say("a search takes words of a name alone: no address, revision or quantisation")
        return
    rows: list[tuple[str, ...]] = []
    for one in found.found:
        rows.append(_row(one, now))
        rows += [(each.ref, "", NOTHING if each.size is None else format_size(each.size), "", "", "")
                 for each in one.quantizations]  # fmt: skip
    # A name is given to `pull`: it stays whole on its line.
    show(("name", "where", "size", "downloads", "updated", "access"), rows, whole="name")


def _row(one: FoundEntry, now: float) -> tuple[str, ...]:
    size = NOTHING if one.size is None else f"{'~' if one.is_estimate else ''}{format_size(one.size)}"
    kinds = [_SHORT_TITLES.get(kind, kind.title) for kind in dialects() if kind.name in one.where]
    return (
        one.ref,
        ", ".join(kinds),
        size,
        _short(one.downloads),
        ago(one.updated, now),
        NOTHING if one.access is RepoAccess.OPEN else one.access.value,
    )


def _short(number: int | None) -> str:
    """A number with its unit: `12.3k`."""
    if number is None:
        return NOTHING
    return next((f"{number / unit:.1f}{letter}" for unit, letter in _UNITS if number >= unit), str(number))
