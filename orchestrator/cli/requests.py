"""From REFs, lists and options to the models of a run."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli import lock_files, terminal
from orchestrator.cli.options import Select
from orchestrator.cli.run import Run
from orchestrator.core.files import literal
from orchestrator.core.refs import parse_ref
from orchestrator.core.text import printable
from orchestrator.disk import places
from orchestrator.disk.access import others_who_may_exchange, others_who_may_write
from orchestrator.errors import UsageError
from orchestrator.events import Notice
from orchestrator.lists.model_list import ListEntry, gather
from orchestrator.lists.quantizations import split_quantization
from orchestrator.lists.request import Item
from orchestrator.lists.wanted import Wanted, group
from orchestrator.system import streams
from orchestrator.system.small_files import is_given, read_named, read_small

_STDIN = "-"
_LARGEST_LIST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Selection:
    """The command line's choice of files; an entry of a list may override it.

    `allow_outside` lets lists write to, and include from, other folders than their own.
    """

    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    local_dir: str | None = None
    allow_outside: bool = False
    variant: str = ""

    @classmethod
    def of(cls, select: Select, local_dir: str | None = None, *, allow_outside: bool = False) -> Selection:
        """The choice that the options of a command make."""
        return cls(select.revision, select.include, select.exclude, local_dir, allow_outside, select.variant or "")


def items(refs: Sequence[str], lists: Sequence[str], chosen: Selection) -> tuple[Item, ...]:
    """All models that are asked for, in order, each once; `refs` may name files behind a REF. Raises UsageError."""
    found = [_named(wanted, chosen) for wanted in group(refs)]
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


def _named(wanted: Wanted, chosen: Selection) -> Item:
    text, quantization = split_quantization(wanted.ref)
    return Item(
        parse_ref(text, revision=chosen.revision),
        (*chosen.include, *(literal(file) if file in wanted.paths else file for file in wanted.files)),
        chosen.exclude,
        _folder(chosen.local_dir, Path()),
        files=wanted.paths,
        quantization=quantization,
        variant=chosen.variant,
    )


def say_understood(refs: Sequence[str], run: Run, *, has_include: bool) -> None:
    """Say which words were taken for models and which for files of them."""
    found = group(refs)
    if not run.is_quiet and any(one.files for one in found):
        for one in found:
            files = f", only {', '.join(map(repr, one.files))}" if one.files else ""
            files += " and what --include takes" if files and has_include else ""
            terminal.say(printable(f"model {one.ref}{files}"))
    for one in found:
        for word in one.unsure:
            message = f"{word!r} was taken for a file of {one.ref}; as a model it is written hf://{word}"
            run.emit(Notice("file-or-model", message, file=word))


def locked_items(refs: Sequence[str], name: str, local_dir: str | None) -> tuple[Item, ...]:
    """The models of a lock file that are asked for: all without a REF. Raises UsageError."""
    models = lock_files.read(name).choose(refs, name)
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


def watched(name: str, chosen: Selection, tell: Callable[[Notice], None]) -> tuple[tuple[Item, ...], tuple[Path, ...]]:
    """The same for a list that is followed for weeks: all who may write it decide what is fetched here, and that is
    told."""
    found = follow(name, chosen)
    if others := written_by_others(found[1]):
        if chosen.allow_outside:
            raise UsageError(
                f"other users can edit the list, and with --allow-outside put files anywhere: {others}",
                hint="watch it without --allow-outside, or make it your own: chmod go-w",
            )
        tell(Notice("list-writable", f"other users can edit the watched list: {others}"))
    return found


def written_by_others(files: Sequence[Path]) -> str | None:
    """Other users who may write or exchange one of the files of a list; None for nobody."""
    for file in files:
        for path, judge in ((file, others_who_may_write), (file.absolute().parent, others_who_may_exchange)):
            with suppress(OSError):
                if reason := judge(path.stat(), path):
                    return f"{path}: {reason}"
    return None


def _listed(name: str, chosen: Selection) -> tuple[list[Item], tuple[Path, ...]]:
    # What has no folder of its own, as a pipe of the shell, starts from the working directory.
    top = _STDIN if is_given(name) else name
    limit = None if chosen.allow_outside else Path(top).parent

    def read(path: str) -> str:
        return _read_top(name) if path == top else _read_below(path, limit)

    made = gather(top, read, shown="<stdin>" if name == _STDIN else name, revision=chosen.revision)
    items = [_item(entry, chosen, Path(file).parent) for entry, file in made.entries]
    return items, tuple(Path(file) for file in made.files)


def _item(entry: ListEntry, chosen: Selection, base: Path) -> Item:
    is_limited = bool(entry.local_dir) and not chosen.allow_outside
    return Item(
        entry.ref,
        entry.include or chosen.include,
        entry.exclude or chosen.exclude,
        _listed_folder(entry, base, chosen) if entry.local_dir else _folder(chosen.local_dir, Path()),
        entry.priority,
        quantization=entry.quantization,
        variant=entry.variant or chosen.variant,
        no_links=is_limited,
    )


def _listed_folder(entry: ListEntry, base: Path, chosen: Selection) -> Path | None:
    """The folder that a list names. The author of the list chooses it, so it lies strictly below that of the list."""
    try:
        folder = _folder(entry.local_dir, base)
    except UsageError as error:
        raise UsageError(f"{entry.where}: local-dir: {error.message}", hint=error.hint) from error
    if folder is None or chosen.allow_outside:
        return folder
    real, own = Path(os.path.realpath(folder)), Path(os.path.realpath(base))
    inside = real.relative_to(own).parts if own in real.parents else ()
    if not inside or any(part.startswith(".") for part in inside):
        raise UsageError(
            f"{entry.where}: local-dir must lie below the folder of the list, and in no hidden folder",
            hint="use --allow-outside if you trust the author of the list",
        )
    # Resolved now: others who write beside the list could put a link there while the files come.
    return real


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


def _read_top(name: str) -> str:
    if name != _STDIN:
        return _decoded(name, lambda: read_named(name, _LARGEST_LIST))
    if streams.is_missing(sys.stdin):
        raise UsageError("the list cannot be read: standard input is closed")
    return _decoded("<stdin>", _stdin)


def _stdin() -> bytes:
    content = sys.stdin.buffer.read(_LARGEST_LIST + 1)
    if len(content) > _LARGEST_LIST:
        raise OSError(errno.EOVERFLOW, f"larger than {_LARGEST_LIST} bytes", "<stdin>")
    return content


def _read_below(path: str, top: Path | None) -> str:
    """A list that another includes; it must lie below the folder `top` where one is given."""
    real = os.path.realpath(path)
    if top is not None and Path(os.path.realpath(top)) not in Path(real).parents:
        raise UsageError(
            "a list may include only files below its own folder",
            hint="use --allow-outside if you trust the author of the list",
        )
    return _decoded(path, lambda: read_small(real, _LARGEST_LIST))


def _decoded(name: str, read: Callable[[], bytes]) -> str:
    try:
        return read().decode()
    except OSError as error:
        raise UsageError(f"the list {name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the list {name} is not UTF-8 text") from error
