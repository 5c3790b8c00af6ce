"""`pull --resume-last`: what of a command line is noted of a run, and how a run of the notes is asked for again."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from orchestrator.cli import requests, terminal
from orchestrator.cli.named_config import name_config, named_config
from orchestrator.cli.typed import completed, texts_of
from orchestrator.core.sizes import format_size
from orchestrator.core.text import counted, printable, redacted
from orchestrator.disk import places
from orchestrator.errors import ConfigError, UsageError
from orchestrator.lists.request import Item

if TYPE_CHECKING:
    from orchestrator.runs.run_note import AskedRun, KnownRun

_Options = TypeVar("_Options")

# What the noted items say, what is bound to this terminal, and where the notes lie.
_NOT_NOTED = frozenset(
    (
        *("--file", "--revision", "--include", "--exclude", "--variant", "--local-dir", "--allow-outside"),
        *("--resume-last", "--resume", "--dry-run", "--aria2-input", "--json", "--progress", "--quiet", "--verbose"),
        "--cache-dir",
    )
)
_OF_ITEMS = (
    "--file",
    "--revision",
    "--include",
    "--exclude",
    "--variant",
    "--local-dir",
    "--lock",
    "--locked",
    "--sha256",
)
_PATHS = ("--config", "--token-file", "--rpc-secret-file", "--lock", "--locked", "--verify-signature")
_MAY_BE_SECRET = ("--on-change", "--notify")
_NO_SECRETS = ("desktop", "none")


@dataclass(frozen=True, slots=True)
class Resumed(Generic[_Options]):
    """A run that is taken up again: its options, with those of now before them, and its items that are to be pulled."""

    run: KnownRun
    options: _Options
    items: tuple[Item, ...]


def asked_run(options: object, items: tuple[Item, ...], resumed: Resumed[Any] | None) -> AskedRun:
    """The note of a run, as its options and items say."""
    from orchestrator.runs.run_note import AskedRun, NotedOption

    said = {flag: values for flag, values in texts_of(options).items() if flag not in _NOT_NOTED}
    if config := named_config():
        said["--config"] = (str(config),)
    withheld = tuple(sorted(flag for flag, values in said.items() if _may_be_secret(flag, values)))
    kept = tuple(NotedOption(flag, _absolute(flag, said[flag])) for flag in sorted(said.keys() - set(withheld)))
    return AskedRun(items, kept, withheld, resumed.run.number if resumed else None)


def resumed_run(options: _Options, refs: Sequence[str], run: KnownRun) -> Resumed[_Options]:
    """Ask for a run of the notes again, with these options and `refs`.

    Raises UsageError for those that contradict it, and for options that have to be said again.
    """
    said = texts_of(options)
    for flag in _OF_ITEMS:
        if flag in said:
            raise _says_otherwise(flag)
    if refs:
        raise _says_otherwise(shlex.quote(refs[0]))
    if missing := [flag for flag in run.note.withheld if flag not in said]:
        words = " ".join(f"{flag} …" for flag in missing)
        raise UsageError(
            f"run {run.number} had {' and '.join(missing)}, which may hold a secret and is not kept",
            hint=f"add it to the command: {words}",
        )
    texts = {option.flag: option.values for option in run.note.options}
    for path in texts.get("--config", ()):
        name_config(path)
    try:
        options = completed(options, texts)
    except ValueError as error:
        raise ConfigError(
            f"the note of run {run.number} cannot be read", hint="pull the models by their names"
        ) from error
    return Resumed(run, options, _items(run, texts))


def say_resumed(run: KnownRun) -> None:
    """Say what goes on: `run 3 of 2026-11-28 01:10: 2 of 5 models left, 12.3 of 20.1 GB`."""
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.note.since))
    terminal.say(printable(f"run {run.number} of {began}: {what_is_left(run)}"))


def what_is_left(run: KnownRun) -> str:
    """The models and the bytes that are left of a run."""
    note = run.note
    left = f"{run.models_left} of {counted(len(note.models), 'model')} left"
    unknown = sum(model.size is None for model in note.models)
    if unknown == len(note.models):
        return left
    return f"{left}, {format_share(note.left, note.size)}{f'; {unknown} not planned yet' if unknown else ''}"


def format_share(part: int, whole: int) -> str:
    """`12.3 of 20.1 GB`, with the unit of the part where that is another one."""
    number, unit = format_size(part).split(" ")
    return f"{number if format_size(whole).endswith(f' {unit}') else f'{number} {unit}'} of {format_size(whole)}"


def _items(run: KnownRun, texts: Mapping[str, tuple[str, ...]]) -> tuple[Item, ...]:
    # A lock file that is written gets all of its models, so all are looked at again.
    noted = run.items(all_of_them="--lock" in texts)
    if "--locked" not in texts:
        return tuple(one.item for one in noted)
    (name,) = texts["--locked"]
    locked = {str(item.ref): item for item in requests.locked_items([one.ref for one in noted], name, None)}
    return tuple(replace(locked[one.ref], local_dir=one.item.local_dir) for one in noted)


def _may_be_secret(flag: str, values: tuple[str, ...]) -> bool:
    if flag in _MAY_BE_SECRET and not set(values) <= set(_NO_SECRETS):
        return True
    return any(redacted(value) != printable(value) for value in values)


def _absolute(flag: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Paths as they are from any working directory; what begins with a variable is left to it."""
    if flag not in _PATHS:
        return values
    return tuple(value if value.startswith("$") else str(places.absolute(value)) for value in values)


def _says_otherwise(what: str) -> UsageError:
    return UsageError(
        f"a run that is resumed has its own models and files, and {what} says otherwise",
        hint="glm-aria status shows what it has; leave that out, or pull without --resume",
    )
