"""Watchers of a run: what they count, and what they show."""

import io
import json
import threading
from collections.abc import Callable

import pytest

from orchestrator.cli.views.progress import GuestLines, JsonLines, Lines, Watcher, choose
from orchestrator.cli.views.transfer_state import Tally
from orchestrator.core.files import Algorithm, Digest
from orchestrator.events import FileProgress, FleetNews, ModelPhase, Notice, PeersKnown, Phase, Queued, Staying
from tests.plain import Clock


def digest(number: int) -> Digest:
    return Digest(Algorithm.SHA256, f"{number:064x}")


def at(phase: Phase, done: int = 0, *, number: int = 1, total: int = 100, speed: int = 0) -> FileProgress:
    return FileProgress(digest(number), f"file-{number}", phase, done, total, speed, 4)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("wanted", "as_json", "quiet", "is_terminal", "mode"),
    [
        ("auto", False, False, True, "bar"),
        ("auto", False, False, False, "lines"),
        ("auto", True, False, True, "lines"),
        ("auto", False, True, True, "none"),
        ("bar", False, False, False, "lines"),
        ("bar", True, False, True, "lines"),
        ("bar", False, True, True, "bar"),
        ("json", False, True, True, "json"),
        ("none", False, False, True, "none"),
        ("lines", False, False, True, "lines"),
    ],
)
def test_the_mode_is_chosen_by_flags_and_terminal(
    wanted: str, as_json: bool, quiet: bool, is_terminal: bool, mode: str
) -> None:
    assert choose(wanted, as_json=as_json, quiet=quiet, terminal_like=is_terminal) == mode


# --- the sums -------------------------------------------------------------------------------------------------------


def test_a_blob_from_its_first_byte_to_its_place(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(2, 200))
    shown = []
    for event in (
        at(Phase.FETCHING, 0),
        at(Phase.FETCHING, 60),
        at(Phase.FETCHING, 30),  # a bad part was thrown away
        at(Phase.VERIFYING, 10),  # hashing counts anew, but the bytes are here
        at(Phase.PLACING, 100),
        at(Phase.DONE, 100),
    ):
        tally.take(event)
        now = tally.snapshot()
        shown.append((now.done, now.files_done, len(now.active)))
    assert shown == [(0, 0, 1), (60, 0, 1), (30, 0, 1), (100, 0, 1), (100, 0, 1), (100, 1, 0)]
    assert (tally.snapshot().total, tally.snapshot().files, tally.snapshot().percent) == (200, 2, 50.0)


def test_a_blob_that_comes_back_is_not_counted_twice(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(1, 100))
    for event in (at(Phase.VERIFYING, 100), at(Phase.DONE, 100), at(Phase.FETCHING, 5)):
        tally.take(event)
    assert (tally.snapshot().done, tally.snapshot().files_done) == (5, 0)
    tally.take(at(Phase.VERIFYING, 100))
    tally.take(at(Phase.FAILED))
    assert (tally.snapshot().done, tally.snapshot().files_done) == (0, 0)


def test_a_part_still_counts_when_all_sources_have_failed(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(2, 200))
    for event in (
        at(Phase.FETCHING, 60),
        at(Phase.FETCHING, 20, number=2),
        at(Phase.FAILED),
        at(Phase.FAILED, number=2),
    ):
        tally.take(event)
    now = tally.snapshot()
    assert (now.done, now.total, now.files, now.files_done, now.active) == (80, 200, 2, 0, ())
    tally.take(at(Phase.FETCHING, 70))
    assert tally.snapshot().done == 90
    tally.take(Queued(1, 100))
    assert tally.snapshot().done == 70


def test_a_small_file_that_was_there_before_anybody_looked_is_counted(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(2, 200))
    tally.take(at(Phase.PLACING, 100))
    assert tally.snapshot().done == 100
    tally.take(at(Phase.DONE, 100))
    now = tally.snapshot()
    assert (now.files_done, now.done) == (1, 100)


def test_what_was_here_and_is_only_checked_is_shown_and_not_counted(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(1, 100))
    tally.take(at(Phase.CHECKING, 50, number=2))
    assert (tally.snapshot().done, len(tally.snapshot().active)) == (0, 1)
    tally.take(at(Phase.DONE, 100, number=2))
    assert (tally.snapshot().done, tally.snapshot().files_done) == (0, 0)


def test_speed_follows_and_gives_the_time_left(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(2, 2000))
    assert tally.snapshot().seconds_left is None
    for number in (1, 2):
        for _ in range(40):
            clock.now += 1
            tally.take(at(Phase.FETCHING, 500, number=number, total=1000, speed=50))
    now = tally.snapshot()
    assert now.speed == 100
    assert now.seconds_left == pytest.approx(10, rel=0.02)


def test_the_last_percent_is_kept_for_the_last_byte(clock: Clock) -> None:
    tally = Tally(clock)
    tally.take(Queued(1, 10**9))
    tally.take(at(Phase.FETCHING, 10**9 - 1, total=10**9))
    assert tally.snapshot().percent == 99.0
    assert Tally(clock).snapshot().percent == 100.0


# --- lines ----------------------------------------------------------------------------------------------------------


def test_lines_at_phases_and_every_few_seconds(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(clock=clock, stream=stream)
    with lines:
        lines.emit(ModelPhase("org/name@main", Phase.RESOLVING))
        lines.emit(Queued(2, 2_000_000))
        for _ in range(12):
            clock.now += 1
            lines.emit(at(Phase.FETCHING, 500_000, total=1_000_000, speed=100_000))
        lines.emit(Notice("x", "bad \x1b[2J mirror"))
        lines.emit(ModelPhase("org/\x1bname", Phase.DONE))
    written = stream.getvalue().splitlines()
    assert written[:2] == ["org/name@main: resolving", "to fetch: 2.00 MB in 2 file(s)"]
    assert [line.split("  ")[:2] for line in written[2:4]] == [[" 25%", "500 kB of 2.00 MB"]] * 2
    assert written[2].endswith("left  (0 of 2 files)")
    assert written[4:] == ["warning: bad \\x1b[2J mirror", "org/\\x1bname: done"]


def test_other_machines_are_told_of(clock: Clock) -> None:
    stream = io.StringIO()
    with Lines(clock=clock, stream=stream) as lines:
        lines.emit(PeersKnown("http://10.0.0.1:8092", ()))
        lines.emit(PeersKnown("http://10.0.0.1:8092", ("a", "b")))
        lines.emit(PeersKnown("http://10.0.0.1:8092", ("b",), left=("a",)))
        lines.emit(PeersKnown("http://10.0.0.1:8092", (), left=("b",)))
        lines.emit(Staying(("a",), 300))
        lines.emit(FleetNews("task", "task 1 is done", is_idle=True))
    assert stream.getvalue().splitlines() == [
        "other machines reach this one at http://10.0.0.1:8092",
        "shared with 2 machines: a, b",
        "a has left; shared with 1 machine: b",
        "b has left",
        "done; stays for 1 machine that needs what only this one has (a), at most 5 min 00 s; Ctrl-C ends it",
        "task 1 is done",
    ]


def test_what_another_run_fetches_is_told_and_counted(clock: Clock) -> None:
    stream = io.StringIO()
    lines, tally = Lines(clock=clock, stream=stream), Tally(clock)
    for event in (Queued(2, 200), at(Phase.WAITING), at(Phase.WAITING, number=2), at(Phase.DONE, 100)):
        lines.emit(event)
        tally.take(event)
    assert stream.getvalue().splitlines()[1:] == [
        "file-1: waits for another run, which fetches it",
        "file-2: waits for another run, which fetches it",
    ]
    now = tally.snapshot()
    assert (now.done, now.files_done, now.percent) == (100, 1, 50.0)


def test_nothing_to_fetch_is_not_announced(clock: Clock) -> None:
    stream = io.StringIO()
    Lines(clock=clock, stream=stream).emit(Queued(0, 0))
    assert stream.getvalue() == ""


def test_lines_beside_another_program_say_whose_they_are_and_what_was_fetched(clock: Clock) -> None:
    stream = io.StringIO()
    with GuestLines(clock=clock, stream=stream) as lines:
        for phase in (Phase.FETCHING, Phase.DONE):
            clock.now += 9
            lines.emit(at(phase, 100))
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == [
        "glm-aria: 100%",
        "glm-aria: 100%",
        "glm-aria: 1 of 1 file(s) fetched, 100 B",
    ]
    with GuestLines(clock=clock, stream=stream) as lines:
        stream.truncate(0)
    assert stream.getvalue() == ""


def test_lines_beside_another_program_take_its_bar_off_the_row(clock: Clock) -> None:
    stream = Terminal()
    with GuestLines(clock=clock, stream=stream) as lines:
        lines.emit(Notice("x", "a mirror is slow"))
    assert stream.getvalue() == "\r\x1b[Jglm-aria: warning: a mirror is slow\n"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


# --- JSON lines -----------------------------------------------------------------------------------------------------


def test_each_event_is_a_line_of_json() -> None:
    stream = io.StringIO()
    with JsonLines(stream=stream) as watcher:
        watcher.emit(ModelPhase("org/name@main", Phase.FETCHING))
        watcher.emit(Queued(1, 100))
        watcher.emit(at(Phase.FETCHING, 60, speed=7))
        watcher.emit(Notice("slow", "a slow\nmirror", "m", "f"))
    phase, queued, moved, notice = map(json.loads, stream.getvalue().splitlines())
    assert phase == {"event": "phase", "model": "org/name@main", "phase": "fetching"}
    assert queued == {"event": "queued", "files": 1, "bytes_total": 100}
    assert moved == {
        "event": "progress",
        "file": "file-1",
        "digest": str(digest(1)),
        "phase": "fetching",
        "done": 60,
        "total": 100,
        "speed": 7,
        "connections": 4,
    }
    assert notice == {"event": "warning", "code": "slow", "message": "a slow\\nmirror", "mirror": "m", "file": "f"}


# --- all ------------------------------------------------------------------------------------------------------------


class Closed(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("make", [Lines, JsonLines])
def test_a_stderr_that_nobody_reads_stops_nothing(make: Callable[..., Watcher]) -> None:
    with make(stream=Closed()) as watcher:
        watcher.emit(ModelPhase("org/name@main", Phase.FETCHING))


def test_events_of_many_threads_do_not_mix() -> None:
    stream = io.StringIO()
    watcher = JsonLines(stream=stream)

    def work(number: int) -> None:
        for done in range(100):
            watcher.emit(at(Phase.FETCHING, done, number=number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 800
