"""A desired state as its source has it: texts in, values out. No I/O.

`desired.toml` is a model list with a few keys more:

    lock = "glm-aria.lock"                       # what it holds is fetched exactly so
    serial = 7                                   # grows with each signed state
    grace = "24h"                                # for which a set stays after another took its place
    include = ["common.txt"]
    [budget]
    disk = "200GB"                               # of all sets together
    speed = "08:00-18:00=10M,else=0"
    window = "22:00-06:00"                       # new models are fetched only then
    [[model]]
    ref = "org/name@v1"
    as = "chat"                                  # the folder in the set; else the name of the repo
    nodes = { zone = "edge-*" }                  # labels of the nodes that shall have it; else all

A plain list, a list in TOML and a lock file are desired states, too. All files lie below the folder of the first one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from orchestrator.core.refs import Ref
from orchestrator.core.sizes import parse_duration, parse_size
from orchestrator.core.speeds import DaySpan, Speed, parse_speed, parse_windows
from orchestrator.desired.wish.labels import Selector, parse_selectors
from orchestrator.errors import UsageError
from orchestrator.lists.lockfile import NAME as LOCK_NAME
from orchestrator.lists.lockfile import Lock, LockedModel, parse_lock
from orchestrator.lists.model_list import Include, ListEntry, parse_list, parse_tables
from orchestrator.lists.request import Item
from orchestrator.lists.toml import parse_toml

NAMES = ("desired.toml", "models.toml", "models.txt", LOCK_NAME)
"""The file of a folder that is read: the first that is there."""
_Value = TypeVar("_Value")
_OWN_KEYS = ("lock", "grace", "budget", "serial")
_LARGEST_SERIAL = 2**53
_MODEL_KEYS = ("as", "nodes")
_BUDGET_KEYS = ("disk", "speed", "window")
_MOST_FILES = 64
_MOST_MODELS = 10_000
_DEEPEST = 8
# Two levels at most, as repos have: `chat`, `org/name`, `datasets/org/name`.
_FOLDER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_-])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SetBudget:
    """Limits of what a set may cost: bytes on the disk, the rate, and when models are fetched. None and empty: none."""

    disk: int | None = None
    speed: Speed = None
    windows: tuple[DaySpan, ...] = ()

    def over(self, other: SetBudget) -> SetBudget:
        """This one where it says something, else the other."""
        return SetBudget(
            self.disk if self.disk is not None else other.disk,
            self.speed if self.speed is not None else other.speed,
            self.windows or other.windows,
        )

    def is_open(self, minute: int) -> bool:
        """True when new models may be fetched at this minute of the day."""
        return not self.windows or any(window.has(minute) for window in self.windows)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model of a desired state: its folder in the set, what is wanted of it, the nodes that shall have it, and the
    line or table that says so."""

    name: str
    item: Item
    nodes: tuple[Selector, ...] = ()
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class DesiredDocument:
    """The wish of one source. `grace` is seconds, None where it does not say; `serial` grows with each newer one."""

    models: tuple[ListedModel, ...]
    budget: SetBudget = field(default_factory=SetBudget)
    grace: float | None = None
    serial: int = 0


def parse_document(top: str, read: Callable[[str], str]) -> DesiredDocument:
    """Read a desired state; `read` gives the text of a file by its path, which starts at the folder of `top`.

    Raises UsageError that says where, also when no model is named: an empty file is rather a mistake than a wish.
    """
    reading = _Reading(read)
    reading.take(top, 0)
    models = tuple(reading.models)
    if not models:
        raise UsageError(f"{top} names no model", hint="write one REF on each line, or [[model]] tables")
    seen: dict[str, ListedModel] = {}
    for model in models:
        other = seen.setdefault(model.name, model)
        # The same folder may hold one model on some nodes and another one elsewhere.
        if other is not model and not (other.nodes and model.nodes):
            raise UsageError(
                f"{model.where}: {other.item.ref} and {model.item.ref} would share the folder {model.name!r} of "
                "the set",
                hint='name the folder of one of them: as = "other"',
            )
    return DesiredDocument(models, reading.budget, reading.grace, reading.serial)


@dataclass(slots=True)
class _Reading:
    read: Callable[[str], str]
    models: list[ListedModel] = field(default_factory=list)
    budget: SetBudget = field(default_factory=SetBudget)
    grace: float | None = None
    serial: int = 0
    lock: Lock | None = None
    seen: set[str] = field(default_factory=set)

    def take(self, path: str, depth: int) -> None:
        self.seen.add(path)
        if len(self.seen) > _MOST_FILES or depth > _DEEPEST:
            raise UsageError(f"{path}: a desired state is made of at most {_MOST_FILES} files, {_DEEPEST} deep")
        text = self.read(path)
        if path.endswith(".lock"):
            self.add(
                ListedModel(_folder_of(one.ref), _locked(one), where=path) for one in parse_lock(text, path).models
            )
        elif path.endswith(".toml"):
            self.tables(text, path, depth)
        else:
            for entry in parse_list(text, path):
                self.entry(entry, path, depth, {})

    def tables(self, text: str, path: str, depth: int) -> None:
        try:
            document = parse_toml(text)
        except ValueError as error:
            raise UsageError(f"{path}: not valid TOML: {error}") from error
        own = {key: document.pop(key) for key in _OWN_KEYS if key in document}
        if own and depth:
            raise UsageError(f"{path}: {', '.join(own)} belong into the first file, which includes this one")
        self.settings(own, path)
        tables = document.get("model", [])
        extras: list[Mapping[str, object]] = []
        if isinstance(tables, list):
            for table in tables:
                more = {key: table.pop(key) for key in _MODEL_KEYS if isinstance(table, dict) and key in table}
                extras.append(more)
        entries = parse_tables(document, path, () if depth else _OWN_KEYS, _MODEL_KEYS)
        models = iter(extras)
        for entry in entries:
            self.entry(entry, path, depth, {} if isinstance(entry, Include) else next(models))

    def settings(self, own: Mapping[str, object], path: str) -> None:
        if "lock" in own:
            name = _text(own["lock"], f"{path}: lock")
            below = _beneath(name, path, path)
            self.lock = parse_lock(self.read(below), below)
        if "serial" in own:
            serial = own["serial"]
            if type(serial) is not int or not 0 <= serial <= _LARGEST_SERIAL:
                raise UsageError(f"{path}: serial must be a whole number", hint="serial = 7")
            self.serial = serial
        if "grace" in own:
            self.grace = _told(parse_duration, own["grace"], f"{path}: grace")
        budget = own.get("budget", {})
        if not isinstance(budget, dict) or (unknown := sorted(budget.keys() - set(_BUDGET_KEYS))):
            what = f"unknown key {unknown[0]!r}" if isinstance(budget, dict) else "it must be a table"
            raise UsageError(f"{path}: [budget]: {what}", hint=f"known are {', '.join(_BUDGET_KEYS)}")
        self.budget = SetBudget(
            _told(parse_size, budget["disk"], f"{path}: disk") if "disk" in budget else None,
            _told(parse_speed, budget["speed"], f"{path}: speed") if "speed" in budget else None,
            _told(parse_windows, budget["window"], f"{path}: window") if "window" in budget else (),
        )

    def entry(self, entry: ListEntry | Include, path: str, depth: int, more: Mapping[str, object]) -> None:
        if isinstance(entry, Include):
            below = _beneath(entry.path, path, entry.where)
            if below not in self.seen:
                self.take(below, depth + 1)
            return
        if entry.local_dir is not None:
            raise UsageError(
                f"{entry.where}: a set has folders of its own, so local_dir has no place in it",
                hint='as = "NAME" names the folder in the set',
            )
        name = _folder_named(more["as"], entry.where) if "as" in more else _folder_of(entry.ref)
        nodes = parse_selectors(more["nodes"], entry.where) if "nodes" in more else ()
        item = Item(
            entry.ref,
            entry.include,
            entry.exclude,
            priority=entry.priority,
            quantization=entry.quantization,
            variant=entry.variant,
        )
        self.add([ListedModel(name, self.as_locked(item, entry.where), nodes, entry.where)])

    def as_locked(self, item: Item, where: str) -> Item:
        """The item as the lock has it. With a lock, all must be in it: what is half reproducible is not."""
        if self.lock is None:
            return item
        locked = next((model for model in self.lock.models if str(model.ref) == str(item.ref)), None)
        if locked is None:
            raise UsageError(
                f"{where}: {item.ref} is not in the lock of this desired state",
                hint="lock it: glm-aria pull -f LIST --lock glm-aria.lock",
            )
        return replace(_locked(locked), priority=item.priority)

    def add(self, models: Iterable[ListedModel]) -> None:
        self.models.extend(models)
        if len(self.models) > _MOST_MODELS:
            raise UsageError(f"more than {_MOST_MODELS} models are desired")


def _locked(model: LockedModel) -> Item:
    return Item(model.ref, model.include, model.exclude, locked=model)


def _folder_of(ref: Ref) -> str:
    return ref.repo.url_path


def _folder_named(value: object, where: str) -> str:
    name = _text(value, f"{where}: as")
    parts = name.split("/")
    if len(parts) > 3 or not all(_FOLDER.fullmatch(part) for part in parts):
        raise UsageError(f"{where}: {name!r} is not a folder of a set", hint='for example as = "chat"')
    return name


def _beneath(name: str, path: str, where: str) -> str:
    """The path of a file that another one names. Raises UsageError for one above the first."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    if found.startswith(("/", "../")) or found in (".", ".."):
        raise UsageError(f"{where}: {name!r} lies outside of the folder of the desired state")
    return found


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where} must be a text")
    return value


def _told(parse: Callable[[str], _Value], value: object, where: str) -> _Value:
    try:
        return parse(_text(value, where))
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
