"""Lock files as commands read and write them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.refs import Ref
from orchestrator.disk import places
from orchestrator.disk.folders import try_to_write
from orchestrator.errors import CannotCreateError, UsageError
from orchestrator.lists.lockfile import Lock, LockedModel, parse_lock
from orchestrator.lists.lockfile import render_lock as render
from orchestrator.system.small_files import RECORD_BYTES, read_named


def read(name: str) -> Lock:
    """Read a lock file. Raises UsageError when it is not there, or no lock file."""
    return _parse(_content(name), name)


@dataclass(frozen=True, slots=True)
class LockTarget:
    """A lock file that a pull is to write, and what is in it: `content` is None where there is none yet."""

    path: Path
    content: bytes | None
    lock: Lock


def target(name: str, refs: Iterable[Ref]) -> LockTarget:
    """The lock file that is to hold `refs`, tried before anything is fetched for it.

    A file that holds them all already may need no write, so that its folder may be closed. Raises UsageError for one
    that cannot be read, CannotCreateError and its like for one that cannot be written.
    """
    path = places.absolute(name)
    content = _content(name) if os.path.lexists(path) else None
    found = LockTarget(path, content, Lock() if content is None else _parse(content, name))
    if not {str(ref) for ref in refs} <= {str(model.ref) for model in found.lock.models}:
        _try(path)
    return found


def update(lock_file: LockTarget, models: Iterable[LockedModel]) -> None:
    """Write the lock with these models locked again, in one step; not at all if nothing changes."""
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
