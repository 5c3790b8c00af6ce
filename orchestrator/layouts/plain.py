"""Layouts of a folder of the user's own, for one model: the table of templates/layouts.toml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from orchestrator.core.refs import Ref
from orchestrator.layouts.interface import Arrangement, ModelFiles, Surroundings, ToolFolder


@dataclass(frozen=True, slots=True)
class PlainLayout:
    """`rules` are globs and folders, the first that matches counts; `metadata` is the path of our own file."""

    name: str
    metadata: str
    rules: tuple[tuple[str, str], ...]
    title: str = "a folder of your own"
    is_of_program: bool = False

    def place(self, path: str) -> str:
        """The place of the file at this repo path, relative to the project folder."""
        folder = next(folder for glob, folder in self.rules if fnmatchcase(path, glob))
        return path if folder == "." else f"{folder}/{path}"

    def find(self, around: Surroundings) -> ToolFolder | None:
        """Nowhere: the user names it."""
        del around
        return None

    def arrange(self, model: ModelFiles) -> Arrangement:
        """Each file by the first rule that matches its path."""
        paths = (item.file.path for item in model.files)
        return Arrangement(self.metadata, tuple((path, self.place(path)) for path in paths))

    def claims(self, folder: Path) -> Iterable[Ref]:
        """None: such a folder has the names of the repo's files, and not that of the repo."""
        del folder
        return ()


def parse_layouts(text: str) -> dict[str, PlainLayout]:
    """The layouts of the table, by name."""
    import tomllib

    return {
        name: PlainLayout(name, entry["metadata"], tuple((glob, folder) for glob, folder in entry["rules"]))
        for name, entry in tomllib.loads(text).items()
    }
