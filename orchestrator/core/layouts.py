"""Where the files of a model go in a project folder: the table of templates/layouts.toml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from orchestrator.core.files import fold
from orchestrator.errors import UnsafeError


@dataclass(frozen=True, slots=True)
class Layout:
    """`rules` are globs and folders, the first that matches counts; `metadata` is the path of our own file."""

    name: str
    metadata: str
    rules: tuple[tuple[str, str], ...]

    def place(self, path: str) -> str:
        """Where the file at this path in the repo goes, relative to the project folder."""
        folder = next(folder for glob, folder in self.rules if fnmatchcase(path, glob))
        return path if folder == "." else f"{folder}/{path}"

    def places(self, paths: Iterable[str]) -> dict[str, str]:
        """The place of each path. Raises UnsafeError for a file that would lie where our metadata lie."""
        found = {path: self.place(path) for path in paths}
        for path, place in found.items():
            if fold(place) == fold(self.metadata) or fold(place).startswith(f"{fold(self.metadata)}/"):
                raise UnsafeError(
                    f"{path!r} would lie where the metadata of the folder lie",
                    hint="choose another --layout",
                    file=path,
                )
        return found


def parse_layouts(text: str) -> dict[str, Layout]:
    """The layouts of the table, by name."""
    import tomllib

    return {
        name: Layout(name, entry["metadata"], tuple((glob, folder) for glob, folder in entry["rules"]))
        for name, entry in tomllib.loads(text).items()
    }
