"""`glm-aria cache rm` and `cache gc`: what goes from the cache."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.values import parsed
from orchestrator.cli.views.table import NOTHING, show
from orchestrator.core.refs import parse_target
from orchestrator.core.sizes import format_size, parse_duration, parse_size
from orchestrator.core.text import printable
from orchestrator.system.failures import is_closed, mending
from orchestrator.upkeep.documents import CollectDocument, GarbageEntry
from orchestrator.upkeep.garbage import Rules


@dataclass(frozen=True, slots=True)
class Removal:
    """The cache, and the permission to remove."""

    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    yes: Annotated[bool, option("--yes", help="Remove them (default: only show what would go).")]
    as_json: Annotated[bool, shared.JSON]


@dataclass(frozen=True, slots=True)
class RmOptions:
    """The options of `cache rm`."""

    refs: Annotated[tuple[str, ...], argument("REF...", required=True)]
    removal: Removal


@click.command()
@takes(RmOptions)
def rm(options: RmOptions) -> int:
    """Remove models or revisions; without --yes, only show what would go.

    Pinned models stay (exit code 80), and so do models that a pull or hf is using.
    """
    rules = Rules(time.time(), targets=tuple(map(parse_target, options.refs)))
    return _collect("cache rm", rules, options.removal)


@dataclass(frozen=True, slots=True)
class GcOptions:
    """The options of `cache gc`."""

    older_than: Annotated[
        str | None,
        option("--older-than", metavar="TIME", help="Remove revisions unused for this long: 30d, 12h, 2w."),
    ]
    keep_size: Annotated[
        str | None,
        option("--keep-size", metavar="SIZE",
               help="Remove the longest unused revisions until the cache has this size: 200G."),
    ]  # fmt: skip
    models: Annotated[
        tuple[str, ...], option("--model", metavar="REF", help="Remove this model or revision (repeatable).")
    ]
    removal: Removal


@click.command()
@takes(GcOptions)
def gc(options: GcOptions) -> int:
    """Remove what is not needed; without --yes, only show what would go and why.

    Garbage always goes: blobs without a snapshot that links to them, revisions that no branch or tag names any more (if
    the model has branches or tags), and partial downloads that were not resumed for a week. The options add to that.

    These stay: pinned models; files written within the last 15 minutes, unless --model names them; models with an
    unreadable ref; and everything that a pull or hf is using. A file that several revisions, models or hard links share
    is freed with the last of them.
    """
    rules = Rules(
        time.time(),
        older_than=parsed("--older-than", parse_duration, options.older_than),
        keep_size=parsed("--keep-size", parse_size, options.keep_size),
        targets=tuple(map(parse_target, options.models)),
        litter=True,
    )
    return _collect("cache gc", rules, options.removal)


def _collect(command: str, rules: Rules, removal: Removal) -> int:
    done = services(shared.settings(removal)).collect(rules, act=removal.yes)
    return finish(Run(removal.as_json), command, CollectDocument.of(done), _print)


def _print(done: CollectDocument) -> None:
    if done.items:
        show(("WHAT", "MODEL", "WHICH", "SIZE", "FREES", "WHY"), [_row(item) for item in done.items])
    for kept in done.kept:
        terminal.say(printable(f"stays: {kept.repo} {kept.commit[:12]}: {kept.reason}"))
    freed = format_size(done.bytes_freed)
    folders = (Path(item.path).parent for item in done.items)
    closed = next((folder for folder in folders if is_closed(folder)), None)
    if not done.items:
        terminal.say("nothing to remove")
    elif done.removed:
        terminal.say(f"{freed} freed")
    elif closed is not None:
        way = mending(closed, "run it as a user who may write there")
        terminal.say(printable(f"{freed} would be freed, but --yes would end with 73: {way}"))
    else:
        terminal.say(f"{freed} would be freed; to remove them, add --yes")


def _row(item: GarbageEntry) -> tuple[str, ...]:
    which = item.commit[:12] if item.commit else Path(item.path).name[:12]
    refs = f" ({', '.join(item.refs)})" if item.refs else ""
    size, frees = format_size(item.size), format_size(item.bytes_freed)
    return (item.kind.value, item.repo or NOTHING, which + refs, size, frees, item.reason)
