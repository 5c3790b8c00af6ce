"""A list of models together with the lists that it includes, as one.

A path of an include is relative to the folder of the list that names it. A list that is included twice counts once,
where it comes first.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.errors import UsageError
from orchestrator.lists.listfile import Include, ListEntry, parse_list

# A symbolic link can give one file endless names, which are no cycle to see.
_DEEPEST = 16
_MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class ModelList:
    """What a list holds: each entry with the path of the list that names it, and every file that was read, in order."""

    entries: tuple[tuple[ListEntry, str], ...]
    files: tuple[str, ...]


@dataclass(slots=True)
class _Reading:
    read: Callable[[str], str]
    revision: str | None
    entries: list[tuple[ListEntry, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def take(self, path: str, shown: str, above: tuple[str, ...]) -> None:
        self.files.append(path)
        self.seen.add(above[-1])
        for entry in parse_list(self.read(path), shown, revision=self.revision, is_included=len(above) > 1):
            if isinstance(entry, ListEntry):
                self.entries.append((entry, path))
            else:
                self._follow(entry, path, above)

    def _follow(self, include: Include, path: str, above: tuple[str, ...]) -> None:
        # Read by the path as it is written: `..` after a symbolic link is not the folder before it.
        place = posixpath.join(posixpath.dirname(path), include.path)
        target = posixpath.normpath(place)
        if target in above:
            way = " -> ".join((*above[above.index(target) :], target))
            raise UsageError(
                f"{include.where}: {include.path} includes this list again: {way}",
                hint="take one of these includes out",
            )
        if target in self.seen:
            return
        if len(above) >= _DEEPEST or len(self.seen) >= _MOST_FILES:
            raise UsageError(
                f"{include.where}: too many lists include each other",
                hint=f"at most {_DEEPEST} deep and {_MOST_FILES} in all",
            )
        try:
            self.take(place, place, (*above, target))
        except UsageError as error:
            if error.message.startswith(place):
                raise
            raise UsageError(f"{include.where}: {error.message}", hint=error.hint) from error


def gather(path: str, read: Callable[[str], str], *, shown: str = "", revision: str | None = None) -> ModelList:
    """Read the list at `path` and all that it includes.

    `read` gives a file's text, or raises UsageError. `shown` is the list's name in errors, by default its path;
    `revision` applies where an entry names none. Raises UsageError that says where: for what `parse_list` refuses, for
    a list that includes itself, and for one that cannot be read.
    """
    reading = _Reading(read, revision)
    reading.take(path, shown or path, (posixpath.normpath(path),))
    return ModelList(tuple(reading.entries), tuple(reading.files))
