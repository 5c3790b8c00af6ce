"""The settings as the data of the JSON document of `config show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from orchestrator.core.network.resolvers import NameServer
from orchestrator.core.sources import Source
from orchestrator.core.speeds import SpeedPlan
from orchestrator.settings import Secret, Settings

_NOT_SETTINGS = ("origins", "warnings", "token_withheld")


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """A setting as JSON can hold it, and where it came from. A secret is `***`."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class SettingsDocument:
    """The data of `config show`."""

    settings: Mapping[str, SettingEntry]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The data of the settings of a run."""
        return cls({name: SettingEntry(plain(value), settings.origins[name]) for name, value in values_of(settings)})


def values_of(settings: Settings) -> Iterator[tuple[str, object]]:
    """Each setting with its value, in the order of the class."""
    for item in fields(settings):
        if item.name not in _NOT_SETTINGS:
            yield item.name, getattr(settings, item.name)


def plain(value: object) -> object:
    """A setting as JSON can hold it."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Source):
        return {"name": value.name, "kind": value.kind.name, "url": value.url}
    if isinstance(value, Path | NameServer | SpeedPlan):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
