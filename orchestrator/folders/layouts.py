"""Layouts of a project folder: the table of templates/layouts.toml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from orchestrator.core.names import fold
from orchestrator.errors import UnsafeError

OWN = ".glm-aria"
"""The folder of ours in a project folder."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`rules` are globs and folders, the first that matches counts; `metadata` is the path of our own file."""

    name: str
    metadata: str
    rules: tuple[tuple[str, str], ...]

    def place(self, path: str) -> str:
        """The place of the file at this repo path, relative to the project folder."""
        folder = next(folder for glob, folder in self.rules if fnmatchcase(path, glob))
        return path if folder == "." else f"{folder}/{path}"

    def places(self, paths: Iterable[str]) -> dict[str, str]:
        """The place of each path. Raises UnsafeError for one that would lie where our metadata or another lie."""
        found = {path: self.place(path) for path in paths}
        taken: dict[str, str] = {}
        for path, place in found.items():
            if _is_at_or_below(place, self.metadata) or _is_at_or_below(place, OWN):
                raise UnsafeError(
                    f"{path!r} would lie in the place of the metadata",
                    hint="choose another --layout",
                    file=path,
                )
            other = taken.setdefault(place, path)
            if other != path:
                raise UnsafeError(
                    f"{path!r} and {other!r} would lie at the same place, {place!r}",
                    hint="choose another --layout",
                    file=path,
                )
        return found


def _is_at_or_below(place: str, other: str) -> bool:
    return f"{fold(place)}/".startswith(f"{fold(other)}/")


def parse_layouts(text: str) -> dict[str, Layout]:
    """The layouts of the table, by name."""
    import tomllib

    return {
        name: Layout(name, entry["metadata"], tuple((glob, folder) for glob, folder in entry["rules"]))
        for name, entry in tomllib.loads(text).items()
    }
