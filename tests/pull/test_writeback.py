"""Writeback: every large part that grows gets its turn, and nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Job
from orchestrator.disk.durability import start_writing
from orchestrator.pull.writeback import Writeback
from orchestrator.transfer.interface import Moved

MIB = 1 << 20


def moved(letter: str, size: int) -> Moved:
    return Moved(Job(Digest(Algorithm.SHA256, letter * 64), size, True, ()), MIB, MIB, 0, 1)


def test_parts_take_turns_and_none_is_queued_twice() -> None:
    begun, go_on, written = threading.Event(), threading.Event(), list[str]()

    def write(part: Path, stop: Callable[[], bool]) -> None:
        written.append(part.name)
        begun.set()
        assert go_on.wait(10)

    made = Writeback(write)
    a, b, small = moved("a", 32 * MIB), moved("b", 32 * MIB), moved("c", MIB)
    made.moved(a, Path("a"))
    assert begun.wait(10)
    for _ in range(3):
        made.moved(a, Path("a"))
        made.moved(b, Path("b"))
        made.moved(small, Path("small"))
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
    made.moved(moved("a", 32 * MIB), Path("a"))
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
    start_writing(tmp_path / "none", lambda: False)
    (tmp_path / "link").symlink_to("/dev/zero")
    start_writing(tmp_path / "link", lambda: False)
