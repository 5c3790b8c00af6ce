"""`glm-aria cache`: what the cache holds, what stays in it, and what goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli import options, terminal
from orchestrator.cli.commands import folders
from orchestrator.cli.groups import CONFIG
from orchestrator.cli.views import results
from orchestrator.core.refs import parse_folder, parse_target
from orchestrator.core.sizes import format_size, parse_duration, parse_size
from orchestrator.errors import UsageError
from orchestrator.system.failures import is_closed, mending

if TYPE_CHECKING:
    from orchestrator.settings import Settings
    from orchestrator.upkeep.collect import Collected
    from orchestrator.upkeep.contents import Contents, HeldRepo
    from orchestrator.upkeep.garbage import Rules

_cache_dir = click.option("--cache-dir", metavar="DIR", help="The cache, as HF_HUB_CACHE means it.")
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_yes = click.option("--yes", is_flag=True, help="Do it. Without this nothing is removed.")


@click.group()
def cache() -> None:
    """Look at the cache, share it with folders, and clean it up.

    It is the cache of huggingface_hub: all commands respect what other programs put there and are doing in it. REF is
    org/name for all revisions of a model, or org/name@revision for one.

    \b
    Examples:
      glm-aria cache ls
      glm-aria cache gc --older-than 30d
      glm-aria cache gc --keep-size 200G --yes
      glm-aria cache rm org/name@v1 --yes
      glm-aria cache pin org/name
      glm-aria cache link org/name my-project
      glm-aria cache import /media/usb --model org/name
    """


@cache.command()
@click.option("--nodes", "by_node", is_flag=True, help="Which node of a shared cache uses what; asks the shared Redis.")
@_cache_dir
@CONFIG
@_as_json
def ls(by_node: bool, as_json: bool, **parameters: Any) -> None:
    """List the revisions: their refs, size, last use, trust and pins.

    SIZE are the bytes of a revision's files, ALONE those that would be free without it: other revisions, other models
    and hard links elsewhere share the rest. TRUST is where its digests came from; a dash means that another program
    fetched it, and that verify can tell whether it is right.
    """
    if by_node:
        _nodes(parameters, as_json=as_json)
        return
    found = _look(parameters)
    if as_json:
        _tell("cache ls", _held(found))
        return
    rows = [("MODEL", "COMMIT", "REFS", "SIZE", "ALONE", "LAST USE", "TRUST", "")]
    for repo in found.repos:
        for held in repo.revisions:
            rows.append(
                (
                    repo.repo.url_path,
                    held.commit[:12],
                    ",".join(held.refs) or "-",
                    format_size(held.size),
                    format_size(held.alone),
                    _day(held.last_use),
                    held.trust.level if held.trust else "-",
                    "pinned" if held.is_pinned else "",
                )
            )
    _table(rows)
    terminal.say(terminal.printable(f"{format_size(found.size)} in {found.path}"))
    results.say_left_out(found.left_out)
    for why in found.closed.values():
        terminal.say(f"left out: {terminal.message(why)}")


@cache.command()
@_cache_dir
@CONFIG
@_as_json
def du(as_json: bool, **parameters: Any) -> None:
    """Tell how many bytes each model takes up, the biggest first.

    SIZE counts each distinct file of a model once, ALONE only what no other model shares.
    """
    found = _look(parameters)
    if as_json:
        _tell("cache du", _held(found))
        return
    rows = [("SIZE", "ALONE", "REVISIONS", "MODEL")]
    for repo in sorted(found.repos, key=lambda repo: -repo.size):
        rows.append((format_size(repo.size), format_size(repo.alone), str(len(repo.revisions)), repo.repo.url_path))
    rows.append((format_size(found.parts), format_size(found.parts), "", "unfinished downloads"))
    rows.append((format_size(found.size + found.parts), "", "", "all together, each file once"))
    _table(rows)


@cache.command()
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@_cache_dir
@CONFIG
@_as_json
def pin(refs: Sequence[str], as_json: bool, **parameters: Any) -> None:
    """Keep models: nothing that glm-aria removes is ever theirs, until they are unpinned.

    org/name keeps all its revisions, org/name@main what that branch stands for in the cache at the time.
    """
    _pin("cache pin", refs, parameters, keep=True, as_json=as_json)


@cache.command()
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@_cache_dir
@CONFIG
@_as_json
def unpin(refs: Sequence[str], as_json: bool, **parameters: Any) -> None:
    """Take pins back; REF as it was pinned."""
    _pin("cache unpin", refs, parameters, keep=False, as_json=as_json)


@cache.command()
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@_cache_dir
@CONFIG
@_yes
@_as_json
def rm(refs: Sequence[str], yes: bool, as_json: bool, **parameters: Any) -> None:
    """Remove models or revisions; without --yes only show what would go.

    A pinned model stays (exit code 80). So does one with which a pull or hf is at work.
    """
    from orchestrator.upkeep.garbage import Rules

    rules = Rules(time.time(), targets=tuple(parse_target(ref) for ref in refs))
    _collect("cache rm", rules, parameters, act=yes, as_json=as_json)


@cache.command()
@click.option("--older-than", metavar="TIME", help="Revisions that were not used for so long: 30d, 12h, 2w.")
@click.option("--keep-size", metavar="SIZE", help="The longest unused revisions, until the cache is this small: 200G.")
@click.option("--model", "models", metavar="REF", multiple=True, help="This model or revision; may be given again.")
@_cache_dir
@CONFIG
@_yes
@_as_json
def gc(
    older_than: str | None,
    keep_size: str | None,
    models: Sequence[str],
    yes: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Remove what is not needed; without --yes only show what would go, why, and what that frees.

    Litter always goes: blobs to which no snapshot links, revisions of a model that no branch or tag names any more
    (where the model has some), and parts of downloads that nobody went on with for a week. The options add to that.

    Pinned models stay, and what was written within the last 15 minutes, unless --model names it; all of a model one of
    whose refs cannot be read; and everything with which a pull or hf is at work. A file that several revisions, models
    or hard links share is freed with the last of them.
    """
    from orchestrator.upkeep.garbage import Rules

    rules = Rules(
        time.time(),
        older_than=_parsed("--older-than", parse_duration, older_than),
        keep_size=_parsed("--keep-size", parse_size, keep_size),
        targets=tuple(parse_target(ref) for ref in models),
        litter=True,
    )
    _collect("cache gc", rules, parameters, act=yes, as_json=as_json)


cache.add_command(folders.link)
cache.add_command(folders.import_)

_Value = TypeVar("_Value")


def _parsed(flag: str, parse: Callable[[str], _Value], text: str | None) -> _Value | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from error


def _settings(parameters: dict[str, Any]) -> Settings:
    return options.settings(parameters)


def _look(parameters: dict[str, Any]) -> Contents:
    from orchestrator.app import services

    return services.look(_settings(parameters))


def _nodes(parameters: dict[str, Any], *, as_json: bool) -> None:
    from orchestrator.app import services

    uses = services.node_uses(_settings(parameters))
    if as_json:
        nodes = [
            {"node": use.node, "model": use.model, "last_use": use.last_use, "fetching": use.is_fetching}
            for use in uses
        ]
        _tell("cache ls", {"nodes": nodes})
        return
    rows = [("NODE", "MODEL", "LAST USE", "")]
    for use in uses:
        moment = "-" if use.last_use is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(use.last_use))
        rows.append((use.node, use.model, moment, "fetching" if use.is_fetching else ""))
    _table(rows)


def _pin(command: str, refs: Sequence[str], parameters: dict[str, Any], *, keep: bool, as_json: bool) -> None:
    targets = [parse_target(ref) for ref in refs]
    from orchestrator.app import services

    by_user = services.pin(_settings(parameters), targets, keep=keep)
    pins = sorted(map(str, frozenset().union(*by_user.values())))
    for target in () if keep else targets:
        if others := [user for user, theirs in by_user.items() if target in theirs]:
            terminal.say(terminal.printable(f"{target} stays: {', '.join(others)} pinned it, too"))
    if as_json:
        _tell(command, {"pins": pins})
        return
    for text in pins:
        terminal.result(text)


def _collect(command: str, rules: Rules, parameters: dict[str, Any], *, act: bool, as_json: bool) -> None:
    from orchestrator.app import services

    done = services.run_collect(_settings(parameters), rules, act=act)
    if as_json:
        _tell(command, _collected(done))
    else:
        _print_collected(done)


def _tell(command: str, data: dict[str, object]) -> None:
    terminal.document(results.envelope(command, results.judge((), 0), data))


def _held(found: Contents) -> dict[str, object]:
    return {
        "path": found.path,
        "size": found.size,
        "size_of_parts": found.parts,
        "repos": [_repo(repo) for repo in found.repos],
        "left_out": list(found.left_out),
        "closed": list(found.closed),
    }


def _repo(held: HeldRepo) -> dict[str, object]:
    return {
        "repo": held.repo.url_path,
        "size": held.size,
        "size_alone": held.alone,
        "has_unreadable_refs": held.has_bad_refs,
        "revisions": [
            {
                "commit": revision.commit,
                "refs": list(revision.refs),
                "files": revision.files,
                "size": revision.size,
                "size_alone": revision.alone,
                "last_use": round(revision.last_use, 3),
                "trust": {"level": revision.trust.level, "source": revision.trust.source} if revision.trust else None,
                "pinned": revision.is_pinned,
            }
            for revision in held.revisions
        ],
    }


def _collected(done: Collected) -> dict[str, object]:
    return {
        "removed": done.is_done,
        "bytes_freed": done.bytes_freed,
        "items": [
            {
                "kind": item.kind.value,
                "repo": _name(item.folder),
                "commit": item.commit,
                "refs": list(item.refs),
                "path": str(item.path),
                "reason": item.reason,
                "size": item.size,
                "bytes_freed": item.frees,
            }
            for item in done.garbage
        ],
        "kept": [{"repo": _name(kept.folder), "commit": kept.commit, "reason": kept.reason} for kept in done.kept],
    }


def _print_collected(done: Collected) -> None:
    rows = [("WHAT", "MODEL", "WHICH", "SIZE", "FREES", "WHY")]
    for item in done.garbage:
        which = item.commit[:12] if item.commit else item.path.name[:12]
        refs = f" ({', '.join(item.refs)})" if item.refs else ""
        rows.append(
            (
                item.kind.value,
                _name(item.folder) or "-",
                which + refs,
                format_size(item.size),
                format_size(item.frees),
                item.reason,
            )
        )
    if done.garbage:
        _table(rows)
    for kept in done.kept:
        terminal.say(terminal.printable(f"stays: {_name(kept.folder)} {kept.commit[:12]}: {kept.reason}"))
    freed = format_size(done.bytes_freed)
    closed = next((item.path.parent for item in done.garbage if is_closed(item.path.parent)), None)
    if not done.garbage:
        terminal.say("nothing to remove")
    elif done.is_done:
        terminal.say(f"{freed} freed")
    elif closed is not None:
        way = mending(closed, "run it as who may write there")
        terminal.say(terminal.printable(f"{freed} would be freed, but --yes would end with 73: {way}"))
    else:
        terminal.say(f"{freed} would be freed; the same with --yes does it")


def _name(folder: str) -> str | None:
    repo = parse_folder(folder)
    return repo.url_path if repo else None


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as they must be, for people and for awk alike."""
    clean = [[terminal.printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in clean) for column in range(len(clean[0]))]
    for row in clean:
        terminal.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
