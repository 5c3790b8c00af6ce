"""Trees are walked from the top down, whatever others made of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from orchestrator.platform.files import walk, walk_paths
from tests.deep import DEPTH, deep


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with folders, files, and links to both, and to nothing."""
    for place in ("a/b/c", "a/empty", "z"):
        (tmp_path / place).mkdir(parents=True)
    for place in ("one", "a/two", "a/b/c/three"):
        (tmp_path / place).write_text("")
    (tmp_path / "z" / "up").symlink_to(tmp_path)
    (tmp_path / "z" / "file").symlink_to(tmp_path / "one")
    (tmp_path / "z" / "nothing").symlink_to("absent")
    return tmp_path


def test_it_tells_what_os_walk_tells(tree: Path) -> None:
    def said(found: object) -> list[tuple[str, list[str], list[str]]]:
        return [(at, sorted(folders), sorted(names)) for at, folders, names in found]  # type: ignore[attr-defined]

    assert sorted(said(walk_paths(tree))) == sorted(said(os.walk(tree)))


def test_folders_that_are_taken_out_are_not_walked(tree: Path) -> None:
    seen = []
    for at, folders, _ in walk_paths(tree):
        folders[:] = [name for name in sorted(folders, reverse=True) if name != "a"]
        seen.append(os.path.relpath(at, tree))
    assert seen == [".", "z"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    told: list[OSError] = []
    assert list(walk_paths(tmp_path / "absent", told.append)) == []
    assert [type(error) for error in told] == [FileNotFoundError]


def test_a_tree_may_be_deeper_than_the_stack(tmp_path: Path) -> None:
    with deep(tmp_path):
        assert sum(1 for _ in walk_paths(tmp_path)) == DEPTH + 1


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons walk without a stack")
def test_one_whose_folders_are_held_open_may_be_too_deep(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with deep(tmp_path), pytest.raises(OSError, match="nested too deep"):
            list(walk(".", dir_fd=fd))
    finally:
        os.close(fd)
