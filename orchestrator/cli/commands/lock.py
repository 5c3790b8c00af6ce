"""Lock files as the command reads and writes them, and `glm-aria lock`, which compares them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator.cli import terminal
from orchestrator.cli.views import results
from orchestrator.core.refs import Ref
from orchestrator.disk import places
from orchestrator.disk.folders import try_to_write
from orchestrator.errors import CannotCreateError, UsageError
from orchestrator.lists.lock_diff import FileChange, ModelChange, diff_locks
from orchestrator.lists.lockfile import NAME, Lock, LockedModel, parse_lock
from orchestrator.lists.lockfile import render_lock as render
from orchestrator.system.small_files import RECORD_BYTES, read_named


def read(name: str) -> Lock:
    """Read a lock file. Raises UsageError when it is not there, or no lock file."""
    return _parse(_content(name), name)


@dataclass(frozen=True, slots=True)
class Target:
    """A lock file that a pull is to write, and what is in it: `content` is None where there is none yet."""

    path: Path
    content: bytes | None
    lock: Lock


def target(name: str, refs: Iterable[Ref]) -> Target:
    """The lock file that is to hold `refs`, tried before anything is fetched for it.

    A file that holds them all already may need no write, so that its folder may be closed. Raises UsageError for one
    that cannot be read, CannotCreateError and its like for one that cannot be written.
    """
    path = places.absolute(name)
    content = _content(name) if os.path.lexists(path) else None
    found = Target(path, content, Lock() if content is None else _parse(content, name))
    if not {str(ref) for ref in refs} <= {str(model.ref) for model in found.lock.models}:
        _try(path)
    return found


def update(lock_file: Target, models: Iterable[LockedModel]) -> None:
    """Write the lock with these models locked anew, in one step; not at all when it says so already."""
    from orchestrator.disk.atomic import write_file

    text = render(lock_file.lock.with_models(models))
    if lock_file.content != text.encode():
        write_file(lock_file.path, text, lock_file.path.parent)


def _try(path: Path) -> None:
    try:
        path.parent.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CannotCreateError(
            f"the lock file {os.fspath(path)!r} cannot be written: there is no such folder; nothing was fetched",
            hint=f"mkdir -p {shlex.quote(os.fspath(path.parent))}",
            file=str(path),
        ) from error
    except OSError:
        pass  # trying tells the reason
    try_to_write(path.parent, path)


def _content(name: str) -> bytes:
    try:
        return read_named(places.expanded(name), RECORD_BYTES)
    except OSError as error:
        raise UsageError(
            f"the lock file {name} cannot be read: {error.strerror}",
            hint=f"glm-aria pull REF --lock {shlex.quote(name)} makes one",
        ) from error


def _parse(content: bytes, name: str) -> Lock:
    try:
        return parse_lock(content.decode(), name)
    except UnicodeDecodeError as error:
        raise UsageError(f"the lock file {name} is not UTF-8 text") from error


@click.group()
def lock() -> None:
    """Compare lock files, which pin the bytes of models.

    \b
    A lock file is made and used by pull:
      glm-aria pull org/name --lock glm-aria.lock
      glm-aria pull --locked glm-aria.lock
    """


@lock.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B", default=NAME)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def diff(old: str, new: str, as_json: bool) -> None:
    """Tell what changed from the lock file A to B, by default glm-aria.lock.

    A line for each model and file that is not the same, after + for added, - for removed, ~ for changed. Nothing is
    printed when both pin the same bytes. The exit code is 0 either way; --json says `same`.
    """
    changes = diff_locks(read(old), read(new))
    if as_json:
        data = {"same": not changes, "models": [_model(change) for change in changes]}
        terminal.document(results.envelope("lock diff", results.judge((), 0), data))
        return
    for line in _lines(changes):
        terminal.result(terminal.printable(line))
    if not changes:
        terminal.say("the same")


def _lines(changes: Sequence[ModelChange]) -> Iterable[str]:
    for change in changes:
        commits = " -> ".join(dict.fromkeys(commit[:12] for commit in (change.before, change.after) if commit))
        yield f"{change.kind.sign} {change.ref}  {commits}"
        yield from (f"  {file}" for file in change.files)


def _model(change: ModelChange) -> dict[str, object]:
    return {
        "ref": change.ref,
        "change": change.kind.value,
        "commit_before": change.before,
        "commit_after": change.after,
        "files": [_file(file) for file in change.files],
    }


def _file(change: FileChange) -> dict[str, object]:
    return {"path": change.path, "change": change.kind.value, "before": change.before, "after": change.after}
