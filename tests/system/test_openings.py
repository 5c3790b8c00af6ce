"""Openings of files, through real ones."""

import select
import sys
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.system.openings import Openings

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


def test_who_opens_a_watched_file_is_told(tmp_path: Path) -> None:
    watched, other = tmp_path / "a.lock", tmp_path / "b.lock"
    for path in (watched, other):
        path.touch()
    with closing(Openings()) as openings:
        number = openings.watch(watched)
        assert openings.read() == set()
        for path in (other, watched, watched):
            path.open().close()
        assert select.select([openings], [], [], 5)[0]
        assert openings.read() == {number}
        assert openings.read() == set()


def test_what_is_no_longer_watched_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    with closing(Openings()) as openings:
        openings.forget(openings.watch(path))
        path.open().close()
        assert openings.read() == set()


def test_a_file_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with closing(Openings()) as openings, pytest.raises(FileNotFoundError):
        openings.watch(tmp_path / "none")
