"""The contents of a version: its files, and its `config.json`; what two of them differ in. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.lists.json_text import parse_json

CONFIG = "config.json"
"""The file whose keys say what a model is."""
_MOST_KEYS = 2_000
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A file: its path, its bytes, and its digest."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class VersionContents:
    """The files of a manifest, and its config; None where it has none that is a JSON object."""

    digest: str
    files: tuple[VersionFile, ...]
    config: Mapping[str, Any] | None = None

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def by_path(self) -> Mapping[str, VersionFile]:
        """The files by their paths."""
        return {file.path: file for file in self.files}


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """Facts of a version, all of them the word of who pushed it: the page and the revision that it was taken from
    (empty where none is named), and the `bases` in its card. `is_signed`: somebody attached a signature."""

    source: str = ""
    revision: str = ""
    bases: tuple[str, ...] = ()
    is_signed: bool = False


@dataclass(frozen=True, slots=True)
class FileDelta:
    """A file that is not the same in both; None where one has none of this path."""

    path: str
    before: int | None
    after: int | None

    @property
    def change(self) -> str:
        """The kind of the change."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class KeyDelta:
    """A key of the config (`rope_scaling.factor`) whose value, as JSON, is another; None where one lacks it."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """All that differs between two versions. `same` counts the files that do not; `bytes_to_fetch` is what somebody
    who has the first lacks of the second."""

    before: str
    after: str
    files: tuple[FileDelta, ...] = ()
    config: tuple[KeyDelta, ...] = ()
    same: int = 0
    bytes_to_fetch: int = field(default=0)


def difference(before: VersionContents, after: VersionContents) -> VersionDifference:
    """Compare two versions."""
    old, new = before.by_path, after.by_path
    changed = []
    for path in sorted({*old, *new}):
        one, other = old.get(path), new.get(path)
        if one is None or other is None or one.digest != other.digest:
            changed.append(FileDelta(path, one.size if one else None, other.size if other else None))
    known = {file.digest for file in before.files}
    missing = {file.digest: file.size for file in after.files if file.digest not in known}
    keys, others = dict(_flat(before.config)), dict(_flat(after.config))
    return VersionDifference(
        before.digest,
        after.digest,
        tuple(changed),
        tuple(
            KeyDelta(key, keys.get(key), others.get(key))
            for key in sorted({*keys, *others})
            if keys.get(key) != others.get(key)
        ),
        len({*old, *new}) - len(changed),
        sum(missing.values()),
    )


def parse_config(body: bytes) -> Mapping[str, Any] | None:
    """The config in these bytes; None where they are no JSON object, or one that can be read in two ways."""
    try:
        found = parse_json(body, has_nan=True)  # transformers writes Infinity
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _flat(config: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    count = 0
    waiting = [("", config or {}, 0)]
    while waiting:
        before, section, depth = waiting.pop()
        for name, value in section.items():
            if (count := count + 1) > _MOST_KEYS:
                return
            if isinstance(value, dict) and value and depth < _DEEPEST:
                waiting.append((f"{before}{name}.", value, depth + 1))
            else:
                yield f"{before}{name}", json.dumps(value, ensure_ascii=False, sort_keys=True)
