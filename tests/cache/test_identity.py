"""The id of a cache: one for all who use it."""

from __future__ import annotations

import threading
from pathlib import Path

from orchestrator.cache.identity import cache_id
from orchestrator.cache.state_dir import NOWHERE


def state(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path


def test_an_id_is_made_once_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    found = cache_id(state(tmp_path))
    assert len(found) == 16
    assert cache_id(tmp_path) == found
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cache-id", "stage"]


def test_all_who_ask_at_once_are_told_the_same(tmp_path: Path) -> None:
    folder, gate, found = state(tmp_path), threading.Barrier(8), set[str]()

    def ask() -> None:
        gate.wait()
        found.add(cache_id(folder))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_where_none_can_be_written_there_is_none(tmp_path: Path) -> None:
    assert cache_id(NOWHERE) == cache_id(tmp_path / "absent") == ""


def test_what_is_no_id_counts_for_nothing(tmp_path: Path) -> None:
    for text in (b"", b"\xff\xfe", b"x" * 16, b"0" * 17, b"0" * 1_000_000):
        (tmp_path / "cache-id").write_bytes(text)
        assert cache_id(tmp_path) == ""
