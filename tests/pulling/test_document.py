"""The folders of a plan: sums of all that is below, equal files once."""

from __future__ import annotations

from orchestrator.core.plan import Action
from orchestrator.pulling.document import FileToPull, FolderToPull


def test_folders_hold_what_is_below_them_and_equal_files_once() -> None:
    files = [
        FileToPull("a/b/x", 10, "sha256:1", Action.FETCH),
        FileToPull("a/y", 10, "sha256:1", Action.FETCH),
        FileToPull("a-c/z", 5, "sha256:2", Action.KEEP),
        FileToPull("w", 1, "sha256:3", Action.LINK),
    ]
    assert FolderToPull.all_of(files) == (
        FolderToPull("a", 2, 10, 10),
        FolderToPull("a/b", 1, 10, 10),
        FolderToPull("a-c", 1, 5, 0),
        FolderToPull(".", 4, 16, 10),
    )
    assert FolderToPull.all_of(()) == (FolderToPull(".", 0, 0, 0),)
