"""Memory files: another process writes to them by a path, and they are gone when they are closed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.aria2.memory import MOST_BYTES, MOST_FILES, MemoryFiles


def write_from_elsewhere(path: Path, data: bytes) -> None:
    """As aria2 does: open by name, cut off, write."""
    subprocess.run(["dd", f"of={path}", "status=none"], input=data, check=True)


def test_what_another_process_wrote_becomes_the_part(tmp_path: Path) -> None:
    files, part = MemoryFiles(is_usable=True), tmp_path / "part"
    one, other = files.open(5), files.open(0)
    assert one is not None
    assert other is not None
    write_from_elsewhere(one.path, b"hello, and more than was listed")
    one.move_to(part)
    assert part.read_bytes() == b"hello"
    other.move_to(part)
    assert part.read_bytes() == b"", "what lies there is replaced"
    one.close()
    other.close()
    assert not one.path.exists()
    assert (files.files, files.bytes) == (0, 0)


def test_there_are_so_many_and_they_hold_so_much() -> None:
    files = MemoryFiles(is_usable=True)
    assert files.open(MOST_BYTES + 1) is None
    for number, size in ((MOST_FILES, 10), (16, MOST_BYTES // 16)):
        opened = [files.open(size) for _ in range(number)]
        assert all(opened)
        assert files.open(1) is None
        for one in opened:
            assert one is not None
            one.close()
        assert (files.files, files.bytes) == (0, 0)


def test_none_where_they_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MemoryFiles(is_usable=False).open(1) is None

    def fails(*_: object) -> int:
        raise OSError(24, "Too many open files")

    files = MemoryFiles(is_usable=True)
    monkeypatch.setattr(os, "memfd_create", fails)
    assert files.open(1) is None
    assert (files.files, files.bytes) == (0, 0)
    monkeypatch.delattr(os, "memfd_create")
    assert MemoryFiles(is_usable=True).open(1) is None


def test_a_part_is_not_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = MemoryFiles(is_usable=True).open(5)
    assert one is not None

    def fails(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fails)
    with pytest.raises(OSError, match="Input/output"):
        one.move_to(tmp_path / "part")
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    one = MemoryFiles(is_usable=True).open(5)
    assert one is not None
    (tmp_path / "part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        one.move_to(tmp_path / "part")
    one.close()
    assert not (tmp_path / "elsewhere").exists()
