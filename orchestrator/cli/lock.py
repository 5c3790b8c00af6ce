"""Lock files as the command reads and writes them, and `glm-aria lock`, which compares them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import click

from orchestrator.cli import output, terminal
from orchestrator.core.lockfile import NAME, FileChange, Lock, LockedModel, ModelChange, diff_locks, parse_lock
from orchestrator.core.lockfile import render_lock as render
from orchestrator.errors import UsageError
from orchestrator.system import places
from orchestrator.system.small_files import RECORD_BYTES, read_named


def read(name: str) -> Lock:
    """Read a lock file. Raises UsageError when it is not there, or no lock file."""
    try:
        return parse_lock(read_named(places.expanded(name), RECORD_BYTES).decode(), name)
    except OSError as error:
        raise UsageError(
            f"the lock file {name} cannot be read: {error.strerror}",
            hint=f"glm-aria pull REF --lock {shlex.quote(name)} makes one",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the lock file {name} is not UTF-8 text") from error


def read_or_new(name: str) -> Lock:
    """The lock file, or an empty one where there is none. Raises UsageError for one that cannot be read."""
    try:
        places.expanded(name).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Lock()
    except OSError:
        pass  # reading it tells the reason
    return read(name)


def update(name: str, before: Lock, models: Iterable[LockedModel]) -> None:
    """Write the lock with these models locked anew, in one step; not at all when it says so already."""
    from orchestrator.store.writing import write_file

    path = places.absolute(name)
    text = render(before.with_models(models))
    if not path.exists() or path.read_bytes() != text.encode():
        write_file(path, text, path.parent)


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
        terminal.document(output.envelope("lock diff", output.judge((), 0), data))
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
