"""Writeback: every large part that grows gets its turn, and nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator.disk.durability import start_writing
from orchestrator.disk.writeback import Writeback

MIB = 1 << 20


def test_parts_take_turns_and_none_is_queued_twice() -> None:
    begun, go_on, written = threading.Event(), threading.Event(), list[str]()

    def write(part: Path, stop: Callable[[], bool]) -> None:
        written.append(part.name)
        begun.set()
        assert go_on.wait(10)

    made = Writeback(write)
    made.grown(Path("a"), 32 * MIB)
    assert begun.wait(10)
    for _ in range(3):
        made.grown(Path("a"), 32 * MIB)
        made.grown(Path("b"), 32 * MIB)
        made.grown(Path("small"), MIB)
    go_on.set()
    made._pool.shutdown(wait=True)
    assert written == ["a", "b"]


def test_its_end_waits_for_nothing_and_is_told() -> None:
    begun, ended = threading.Event(), threading.Event()

    def write(part: Path, stop: Callable[[], bool]) -> None:
        begun.set()
        while not stop():
            pass
        ended.set()

    made = Writeback(write)
    made.grown(Path("a"), 32 * MIB)
    assert begun.wait(10)
    made.close()
    assert ended.wait(10)


def test_the_kernel_is_told_of_the_whole_file(tmp_path: Path) -> None:
    part, log = tmp_path / "part", tmp_path / "calls"
    with part.open("wb") as out:
        out.truncate(130 * MIB)
    code = (
        "from pathlib import Path\nfrom orchestrator.disk.durability import start_writing\n"
        f"start_writing(Path({str(part)!r}), lambda: False)"
    )
    subprocess.run(["strace", "-f", "-e", "trace=sync_file_range", "-o", log, sys.executable, "-c", code], check=True)
    calls = [line for line in log.read_text().splitlines() if "sync_file_range(" in line]
    assert len(calls) == 3
    assert all(call.endswith("67108864, SYNC_FILE_RANGE_WRITE) = 0") for call in calls)


def test_what_is_not_there_or_a_link_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with target.open("wb") as out:
        out.truncate(130 * MIB)
    (tmp_path / "link").symlink_to(target)
    begun: list[bool] = []

    def stop() -> bool:
        begun.append(True)
        return False

    start_writing(target, stop)
    assert len(begun) == 3, "it is asked before each piece that is written"
    begun.clear()
    for name in ("none", "link"):
        start_writing(tmp_path / name, stop)
    assert begun == []
