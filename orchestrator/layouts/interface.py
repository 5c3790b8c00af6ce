"""The port of a layout: how a model's files lie in a folder that some program reads, and what such a folder tells.

A layout only says; `folders/` links, writes and imports, the same way for all. A folder may hold many models, each with
a book of ours, which names what was put there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.names import check_path, fold
from orchestrator.core.refs import Ref, RepoId
from orchestrator.errors import UnsafeError

OWN = ".glm-aria"
"""The folder of ours in a folder that has models."""
_SETTINGS = "glm-aria.toml"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Places where programs say where models are: the user's home folder, None without one, and the environment."""

    home: Path | None
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ToolFolder:
    """The folder where a program looks for models; `because` says who says so, for people."""

    folder: Path
    because: str


@dataclass(frozen=True, slots=True)
class ProvenFile:
    """A file of the cache, proven: what it is, and where its bytes are."""

    file: RepoFile
    real: Path


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model at a commit, sorted by path. `revision` is what the user named, None for none."""

    repo: RepoId
    commit: str
    revision: str | None
    files: tuple[ProvenFile, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file of the model that does not go into the folder, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A model in a program's folder, or in the folder `inside` that, which then has this model alone.

    All places are relative to it, with `/`. `book` is the place of our metadata. `places` has the repo path and the
    place of each file, `beside` the place and the content of each small file that the program wants beside them. In the
    folder `swept` the program itself removes what it does not need any more: an update leaves all of that to it.
    `commands` are what people type to use the model, where its name there is not obvious.
    """

    book: str
    places: tuple[tuple[str, str], ...]
    beside: tuple[tuple[str, bytes], ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    inside: str = ""
    swept: str = ""
    commands: tuple[str, ...] = ()

    def refuse_wrong(self, digests: Mapping[str, Digest]) -> None:
        """Raise UnsafeError where a place is none, is ours, or is that of two files with different bytes."""
        taken: dict[str, str] = {}
        if self.inside:
            check_path(self.inside)
        for path, place in (*self.places, *((place, place) for place, _ in self.beside)):
            check_path(place)
            if _is_at_or_below(place, self.book) or _is_at_or_below(place, OWN):
                raise UnsafeError(
                    f"{path!r} would lie in the place of the metadata", hint="choose another --layout", file=path
                )
            other = taken.setdefault(place, path)
            if other != path and (path not in digests or digests[path] != digests.get(other)):
                raise UnsafeError(
                    f"{path!r} and {other!r} would lie at the same place, {place!r}",
                    hint="choose another --layout",
                    file=path,
                )


class Layout(Protocol):
    """The way in which models lie in a folder of some program.

    The name of a layout is what `--layout` takes. None of its functions writes anything or asks a server.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """The name of the program, for people."""

    @property
    def is_of_program(self) -> bool:
        """True for a folder of a program, which only reads: large files may then be hard links to the cache."""

    def find(self, around: Surroundings) -> ToolFolder | None:
        """The folder where the program looks on this machine, whether or not it exists; None where it says nowhere.

        Files of the program that cannot be read, or say nonsense, say nothing.
        """

    def arrange(self, model: ModelFiles) -> Arrangement:
        """The places of a model's files. May read the files of the model, never anything of the folder.

        Raises UsageError for a model for which the program has no use at all.
        """

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The models whose files the names in such a folder say to be there, each once.

        Anybody may have made that folder: names that are none are passed over, and nothing is believed of what they
        say. Reads names and small files, never weights. Raises OSError never.
        """


ONLY_BOOK = f"{OWN}/metadata.json"
"""The place of our metadata in a folder with one model."""


def book_of(repo: RepoId) -> str:
    """The place of our metadata of a model in a folder with many."""
    return f"{OWN}/{repo.folder}.json"


def split_settings(files: Iterable[ProvenFile]) -> tuple[tuple[ProvenFile, ...], tuple[LeftOut, ...]]:
    """The files without any `glm-aria.toml`: who calls glm-aria in that folder would take it for their settings."""
    kept, out = [], []
    for item in files:
        path = item.file.path
        if fold(path.rpartition("/")[2]) == _SETTINGS:
            out.append(LeftOut(path, "it would be taken for settings of glm-aria"))
        else:
            kept.append(item)
    return tuple(kept), tuple(out)


def _is_at_or_below(place: str, other: str) -> bool:
    return f"{fold(place)}/".startswith(f"{fold(other)}/")
