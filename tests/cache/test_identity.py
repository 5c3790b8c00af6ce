"""The id of a cache: one for all who use it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from orchestrator.cache import identity
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


def test_a_copy_of_the_folder_is_another_cache_unless_machines_may_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one" / "stage").mkdir(parents=True)
    monkeypatch.setattr(identity, "file_system", lambda _: "nfs4")
    shared = cache_id(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert cache_id(tmp_path / "copy") == shared == (tmp_path / "one" / "cache-id").read_text()
    monkeypatch.setattr(identity, "file_system", lambda _: "ext4")
    one = cache_id(tmp_path / "one")
    assert one == cache_id(tmp_path / "one")
    assert len({one, cache_id(tmp_path / "copy"), shared}) == 3
    (tmp_path / "boot").write_text("another machine with the same disk\n")
    monkeypatch.setattr(identity, "_BOOT", tmp_path / "boot")
    assert cache_id(tmp_path / "one") != one


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
