"""Folders and files of a listing, as all faces show them. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from orchestrator.core.files import RepoFile, RepoTree


class Entries(NamedTuple):
    """The contents of a folder, both in the order of their paths."""

    folders: list[str]
    files: list[RepoFile]


def entries(tree: RepoTree, folder: str, *, recursive: bool) -> Entries:
    """The entries of a folder, or with `recursive` of all that are below it; `""` is the top."""
    files = below(tree, folder)
    width = len(folder) + 1 if folder else 0
    inside = {one for one in chain.from_iterable(above(file.path) for file in files) if len(one) > width}
    return Entries(
        [path for path in sorted(inside) if recursive or "/" not in path[width:]],
        [file for file in files if recursive or "/" not in file.path[width:]],
    )


def below(tree: RepoTree, folder: str) -> list[RepoFile]:
    """All files below a folder; `""` is the top."""
    if not folder:
        return list(tree.files)
    start, end = (bisect_left(tree.files, folder + last, key=lambda file: file.path) for last in ("/", "0"))
    return list(tree.files[start:end])  # "0" comes after "/"


def is_folder(tree: RepoTree, path: str) -> bool:
    """True when some file lies below it."""
    at = bisect_left(tree.files, path + "/", key=lambda file: file.path)
    return at < len(tree.files) and tree.files[at].path.startswith(path + "/")


def above(path: str) -> Iterator[str]:
    """The folders that hold a path, the nearest first."""
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
