"""From REFs, lists and options to the models of a run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli import lock
from orchestrator.core.listfile import ListEntry
from orchestrator.core.lists import gather
from orchestrator.core.refs import parse_ref
from orchestrator.errors import UsageError
from orchestrator.flows.request import Item
from orchestrator.system import places, streams

_STDIN = "-"
_LARGEST_LIST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line says about the files of a model; an entry of a list may say otherwise for its own."""

    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    local_dir: str | None = None


def items(refs: Sequence[str], lists: Sequence[str], chosen: Selection) -> tuple[Item, ...]:
    """All models that are asked for, in order, each once. Raises UsageError."""
    found = [
        Item(
            parse_ref(ref, revision=chosen.revision), chosen.include, chosen.exclude, _folder(chosen.local_dir, Path())
        )
        for ref in refs
    ]
    for name in lists:
        found += _listed(name, chosen)[0]
    found = list(dict.fromkeys(found))
    if not found:
        raise UsageError(
            f"nothing to fetch: {', '.join(lists)} names no model"
            if lists
            else "which model? Give a REF, or a list of them with -f",
            hint="for example: glm-aria pull zai-org/AutoGLM-Phone-9B",
        )
    _refuse_shared_folder(found)
    return tuple(found)


def locked_items(refs: Sequence[str], name: str, local_dir: str | None) -> tuple[Item, ...]:
    """The models of a lock file that are asked for: all without a REF. Raises UsageError."""
    models = lock.read(name).choose(refs, name)
    if not models:
        raise UsageError(
            f"nothing to fetch: {name} holds no model", hint=f"glm-aria pull REF --lock {shlex.quote(name)} adds one"
        )
    folder = _folder(local_dir, Path())
    found = [Item(model.ref, model.include, model.exclude, folder, locked=model) for model in models]
    _refuse_shared_folder(found)
    return tuple(found)


def follow(name: str, chosen: Selection) -> tuple[tuple[Item, ...], tuple[Path, ...]]:
    """The models of one list, each once, and all files that it is made of. Raises UsageError."""
    found, files = _listed(name, chosen)
    found = list(dict.fromkeys(found))
    if not found:
        raise UsageError(f"{name} names no model", hint="write one REF on each line")
    _refuse_shared_folder(found)
    return tuple(found), files


def _listed(name: str, chosen: Selection) -> tuple[list[Item], tuple[Path, ...]]:
    shown = "<stdin>" if name == _STDIN else name
    made = gather(name, lambda path: _read(path, is_top=path == name), shown=shown, revision=chosen.revision)
    items = [_item(entry, chosen, Path(file).parent) for entry, file in made.entries]
    return items, tuple(Path(file) for file in made.files)


def _item(entry: ListEntry, chosen: Selection, base: Path) -> Item:
    return Item(
        entry.ref,
        entry.include or chosen.include,
        entry.exclude or chosen.exclude,
        _folder(entry.local_dir, base) if entry.local_dir else _folder(chosen.local_dir, Path()),
        entry.priority,
    )


def _folder(text: str | None, base: Path) -> Path | None:
    # Absolute now: the rest of the program does not depend on the working directory.
    return places.absolute(text, base) if text else None


def _refuse_shared_folder(found: Sequence[Item]) -> None:
    owners: dict[Path, Item] = {}
    for item in found:
        if item.local_dir is None:
            continue
        other = owners.setdefault(item.local_dir, item)
        if other.ref != item.ref:
            raise UsageError(
                f"{other.ref} and {item.ref} would share the folder {item.local_dir}",
                hint="give each its own, with local-dir= in a list, or run them one by one",
            )


def _read(name: str, *, is_top: bool) -> str:
    try:
        if is_top and name == _STDIN:
            if streams.is_missing(sys.stdin):
                raise UsageError("the list cannot be read: standard input is closed")
            content = sys.stdin.buffer.read(_LARGEST_LIST + 1)
        else:
            with Path(name).open("rb") as stream:
                content = stream.read(_LARGEST_LIST + 1)
        if len(content) > _LARGEST_LIST:
            raise UsageError(f"{name} is too large for a list of models")
        return content.decode()
    except OSError as error:
        raise UsageError(f"the list {name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the list {name} is not UTF-8 text") from error
