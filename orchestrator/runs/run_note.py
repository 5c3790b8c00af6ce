"""The note of a run: what was asked for, who works on it, and how far it came. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from orchestrator.core.refs import parse_ref
from orchestrator.lists.request import Item


class ModelStep(StrEnum):
    """The progress of a model. `failed` ones are among what is left."""

    LEFT = "left"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NotedItem:
    """An `Item` as JSON holds it. The bytes that a lock file pins are not in it: that file is read again."""

    ref: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    local_dir: str | None
    priority: int
    files: tuple[str, ...]
    quantization: str
    variant: str
    no_links: bool = False

    @classmethod
    def of(cls, item: Item) -> Self:
        """The entry of an item."""
        return cls(
            str(item.ref),
            item.include,
            item.exclude,
            str(item.local_dir) if item.local_dir else None,
            item.priority,
            item.files,
            item.quantization,
            item.variant,
            item.no_links,
        )

    @property
    def item(self) -> Item:
        """The item that was noted. Raises UsageError for a ref that is none."""
        return Item(
            parse_ref(self.ref),
            self.include,
            self.exclude,
            Path(self.local_dir) if self.local_dir else None,
            self.priority,
            files=self.files,
            quantization=self.quantization,
            variant=self.variant,
            no_links=self.no_links,
        )


@dataclass(frozen=True, slots=True)
class NotedOption:
    """An option of the command line: its flag, and its values as texts; without values for a switch."""

    flag: str
    values: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The words of a command line that say it."""
        return tuple(word for value in self.values for word in (self.flag, value)) or (self.flag,)


@dataclass(frozen=True, slots=True)
class NotedModel:
    """A model of a run. `size` are the bytes of its files, `left` those that have to come yet; both are None until it
    is planned. `error` says why it failed."""

    ref: str
    step: ModelStep = ModelStep.LEFT
    size: int | None = None
    left: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class AskedRun:
    """The request of a run. `withheld` are the flags whose values may be secrets, and are not noted.

    `number` is that of the run that goes on; its models that are done are not among `items` then.
    """

    items: tuple[Item, ...]
    options: tuple[NotedOption, ...] = ()
    withheld: tuple[str, ...] = ()
    number: int | None = None


@dataclass(frozen=True, slots=True)
class RunNote:
    """A run. `host`, `pid` and `started` name the process that works on it; `pid` is 0 once it has ended in order.

    `size` and `left` are bytes of the distinct files of all models that are planned, `rate` is bytes per second.
    `since` is when the run began, or was resumed last, `at` when this was noted: unix seconds. `models` has an entry
    for each of `items`.
    """

    since: float
    host: str
    pid: int
    started: str
    items: tuple[NotedItem, ...]
    options: tuple[NotedOption, ...]
    withheld: tuple[str, ...]
    models: tuple[NotedModel, ...]
    size: int = 0
    left: int = 0
    rate: float = 0.0
    at: float = 0.0

    @property
    def is_sane(self) -> bool:
        """False for numbers that no run has, and for models that are not those of the items."""
        counts = (self.size, self.left, *(n for model in self.models for n in (model.size or 0, model.left or 0)))
        is_paired = [item.ref for item in self.items] == [model.ref for model in self.models]
        return is_paired and min(counts) >= 0 and min(self.rate, self.since, self.at) >= 0


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run with its number, by which its user calls it. `is_running` as far as can be known."""

    number: int
    note: RunNote
    is_running: bool

    @property
    def models_left(self) -> int:
        """The number of models that are not done."""
        return sum(model.step is not ModelStep.DONE for model in self.note.models)

    def items(self, *, all_of_them: bool = False) -> tuple[NotedItem, ...]:
        """The items that are left, or all."""
        both = zip(self.note.items, self.note.models, strict=True)
        return tuple(item for item, model in both if all_of_them or model.step is not ModelStep.DONE)
