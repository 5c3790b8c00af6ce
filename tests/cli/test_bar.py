"""The bar, on a real pseudo-terminal and as single frames."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.views.bar import picture
from orchestrator.cli.views.transfer_state import Tally
from orchestrator.core.files import Algorithm, Digest
from orchestrator.events import FileProgress, Phase, Queued

REPO = Path(__file__).parents[2]
MEGABYTE = 1_000_000

PROGRAM = """
import os, sys, time
from orchestrator.cli.views.progress import choose
from orchestrator.cli.run import watcher_of
from orchestrator.core.files import Algorithm, Digest
from orchestrator.events import *
mode = choose("auto", as_json=False, quiet=False)
def at(number, phase, done):
    digest = Digest(Algorithm.SHA256, f"{number:064x}")
    return FileProgress(digest, f"folder/[red]part-{number}\\x1b[2J.bin", phase, done, 10_000_000, 2_000_000, 4)
def go():
    # One byte from the test for each step: it has seen what it waited for.
    sys.stdin.buffer.raw.read(1)
with watcher_of(mode) as bar:
    bar.emit(ModelPhase("org/name@main", Phase.RESOLVING))
    go()
    BODY
print("mode", mode, "rich" in sys.modules)
"""
FETCH = """
    bar.emit(Queued(30, 300_000_000))
    for number in range(30):
        bar.emit(at(number, Phase.FETCHING, 5_000_000))
    go()
    bar.emit(Notice("slow", "[bold]slow\\x1b[2J mirror"))
    bar.emit(at(29, Phase.VERIFYING, 2_500_000))
    go()
    for number in range(30):
        bar.emit(at(number, Phase.DONE, 10_000_000))
"""


class Terminal:
    """The program with stderr on a pseudo-terminal; stdout is a pipe."""

    def __init__(self, body: str, columns: int = 100, lines: int = 24, term: str = "xterm-256color") -> None:
        self.master, follower = os.openpty()
        self.resize(columns, lines)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.replace("BODY", body.strip())],
            env={"PATH": os.environ["PATH"], "TERM": term, "PYTHONPATH": str(REPO), "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def step(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"x")
        self.process.stdin.flush()
        self.seen = ""

    def read_until(self, pattern: str) -> str:
        deadline = time.monotonic() + 15
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, f"never saw {pattern!r} in {self.seen!r}"
            self._read()
        return self.seen

    def _read(self) -> bool:
        if not select.select([self.master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the last holder of the other end has left
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def finish(self) -> tuple[str, str]:
        """What the terminal showed last, and stdout."""
        while self._read() and self.process.poll() is None:
            pass
        assert self.process.stdout is not None
        with self.process:
            out = self.process.stdout.read().decode()
        while select.select([self.master], [], [], 0)[0] and self._read():
            pass
        os.close(self.master)
        assert self.process.wait(10) == 0, self.seen
        return self.seen, out


def test_a_run_on_a_terminal() -> None:
    terminal = Terminal(FETCH)
    terminal.read_until("org/name@main: resolving")
    terminal.step()
    shown = terminal.read_until("and 19 more")
    assert "150 MB of 300 MB" in shown
    assert "folder/[red]part-" in shown
    assert "\\x1b[2J" in shown
    assert "\x1b[2J" not in shown
    terminal.resize(50, 8)
    terminal.step()
    narrow = terminal.read_until(r"warning: \[bold\]slow\\x1b\[2J mirror[\s\S]*and 27 more")
    frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", narrow[narrow.rindex("and 27 more") - 400 :])
    assert all(len(line.rstrip()) <= 50 for line in frame.replace("\r", "").split("\n")[1:])
    terminal.step()
    seen, out = terminal.finish()
    assert out == "mode bar True\n"
    assert seen.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in seen[-200:], "the cursor is shown again"
    assert "Traceback" not in seen


def test_the_bar_goes_when_a_task_of_a_fleet_ends_and_comes_with_the_next_one() -> None:
    terminal = Terminal("""
    bar.emit(Queued(1, 10_000_000))
    bar.emit(at(1, Phase.FETCHING, 5_000_000))
    go()
    bar.emit(at(1, Phase.DONE, 10_000_000))
    bar.emit(FleetNews("task", "task 1 is done; waits for tasks", is_idle=True))
    go()
    bar.emit(Queued(1, 20_000_000))
    bar.emit(at(2, Phase.FETCHING, 5_000_000))
    go()
    """)
    terminal.read_until("org/name@main: resolving")
    terminal.step()
    terminal.read_until("5.00 MB of 10.0 MB")
    terminal.step()
    after = terminal.read_until("waits for tasks")
    assert "%" not in after[after.index("waits for tasks") :]
    terminal.step()
    terminal.read_until("5.00 MB of 20.0 MB")
    terminal.step()
    terminal.finish()


def test_a_watch_says_what_moved_above_the_bar_and_takes_it_away() -> None:
    terminal = Terminal("""
    bar.emit(Queued(1, 10_000_000))
    bar.emit(at(1, Phase.FETCHING, 5_000_000))
    go()
    bar.say("now 1.3.0")
    bar.emit(ModelPhase("org/name@main", Phase.DONE))
    go()
    """)
    terminal.read_until("org/name@main: resolving")
    terminal.step()
    terminal.read_until("5.00 MB of 10.0 MB")
    terminal.step()
    after = terminal.read_until(r"now 1\.3\.0[\s\S]*\x1b\[\?25h")
    assert "%" not in after.rpartition("\x1b[?25h")[2]
    terminal.step()
    terminal.finish()


def test_nothing_to_fetch_leaves_a_clean_line_and_loads_no_rich() -> None:
    terminal = Terminal('bar.emit(Queued(0, 0)); bar.emit(ModelPhase("org/name@main", Phase.DONE))')
    terminal.read_until("resolving")
    terminal.step()
    seen, out = terminal.finish()
    assert out == "mode bar False\n"
    assert seen.endswith("\r\x1b[K")


def test_a_dumb_terminal_gets_lines() -> None:
    terminal = Terminal(FETCH, term="dumb")
    for _ in range(3):
        terminal.step()
    seen, out = terminal.finish()
    assert out.startswith("mode lines")
    assert "\x1b" not in seen


@pytest.mark.parametrize(("columns", "rows"), [(100, 12), (40, 3), (20, 1), (20, 0), (8, 2)])
def test_a_frame_fits_the_terminal(columns: int, rows: int) -> None:
    tally = Tally()
    tally.take(Queued(64, 640 * MEGABYTE))
    for number in range(64):
        name = f"a/very/long/path/that/goes/on/and/on/模型-{number:05}.safetensors"
        file = Digest(Algorithm.SHA256, f"{number:064x}")
        tally.take(FileProgress(file, name, Phase.FETCHING, number * 1000, 10 * MEGABYTE, 1000, 1))
    console = Console(width=columns, file=None, force_terminal=False, record=True, quiet=False)
    with console.capture() as capture:
        console.print(picture(tally.snapshot(), columns, rows))
    lines = capture.get().splitlines()
    assert len(lines) == rows + 2
    assert all(len(line) <= columns for line in lines)
    if columns >= 20 and rows:
        assert f"and {64 - rows + 1} more" in lines[-1]
    if columns == 100:
        assert ".safetensors" in lines[2]


def test_a_row_tells_for_what_it_waits() -> None:
    tally = Tally()
    tally.take(FileProgress(Digest(Algorithm.SHA256, "0" * 64), "a/model.bin", Phase.WAITING, 0, MEGABYTE, 0, 0))
    console = Console(width=80, file=None, record=True)
    with console.capture() as capture:
        console.print(picture(tally.snapshot(), 80, 3))
    assert capture.get().splitlines()[-1].rstrip().endswith("waits for another run")


def test_of_a_program_that_goes_on_each_transfer_is_counted_anew() -> None:
    tally = Tally()
    for number in (1, 2):
        tally.take(Queued(1, 10_000_000))
        for phase, done in ((Phase.FETCHING, 1), (Phase.DONE, 10_000_000)):
            tally.take(FileProgress(Digest(Algorithm.SHA256, f"{number:064x}"), "a", phase, done, 10_000_000, 0, 0))
        now = tally.snapshot()
        assert (now.files, now.files_done, now.done, now.total) == (1, 1, 10_000_000, 10_000_000)
