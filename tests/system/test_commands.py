"""A command of the user's, run in our place: its exit code, its signals, its terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import CommandError, CommandNotFoundError
from orchestrator.system.children import refuse_missing, run_command

REPOSITORY = Path(__file__).parents[2]
RUNNER = """
    import fcntl, os, sys, termios
    from orchestrator.system import children
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    children._GRACE = 0.2
    say = lambda: print("it runs on", flush=True)
    sys.exit(children.run_command(sys.argv[1:], os.environ, on_patience=say))
"""
# A handler that runs within a print must not print.
TELLS_SIGNALS = """
    import os, signal, sys, time
    seen = []
    def handle(number, frame):
        seen.append(number)
        os.write(1, b"got %d\\n" % number)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    os.write(1, b"ready\\n")
    while len(seen) < int(sys.argv[1]):
        time.sleep(0.01)  # a signal between the look and signal.pause would be waited for in vain
    sys.exit(40 + len(seen))
"""


def run(*words: str) -> int:
    return run_command(words, os.environ)


def program(text: str, *words: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text), *words]


def test_its_exit_code_is_ours() -> None:
    assert run("true") == 0
    assert run("sh", "-c", "exit 7") == 7


def test_a_signal_that_ended_it_is_told_as_shells_do() -> None:
    assert run("sh", "-c", "kill -KILL $$") == 128 + signal.SIGKILL


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    for name in ("no-such-command-anywhere", str(tmp_path / "none")):
        with pytest.raises(CommandNotFoundError):
            refuse_missing(name)
        with pytest.raises(CommandNotFoundError):
            run(name)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("#!/no/such/interpreter\n")
    refuse_missing(str(text))
    with pytest.raises(CommandError, match="cannot be started: Permission denied"):
        run(str(text))
    text.chmod(0o700)
    with pytest.raises(CommandError, match="its interpreter is not there") as caught:
        run(str(text))
    assert caught.value.exit_code == 126


def test_a_folder_is_there_and_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="it is a folder") as caught:
        refuse_missing(str(tmp_path))
    assert caught.value.exit_code == 126


class Started:
    """The runner in a session of its own, with a terminal or without one."""

    def __init__(self, words: list[str], *, on_terminal: bool) -> None:
        self.ours, theirs = pty.openpty() if on_terminal else os.pipe()

        self.process = subprocess.Popen(
            program(RUNNER, *words),
            cwd=REPOSITORY,
            start_new_session=True,
            stdin=theirs if on_terminal else subprocess.DEVNULL,
            stdout=theirs,
        )
        os.close(theirs)
        self._text = b""

    def read_until(self, words: str) -> None:
        while words.encode() not in self._text:
            assert select.select([self.ours], [], [], 60)[0], f"waits for {words!r}, and has {self._text!r}"
            data = os.read(self.ours, 4096)
            assert data, f"it ended, and {words!r} did not come: {self._text!r}"
            self._text += data
        self._text = self._text.partition(words.encode())[2]

    def rest(self) -> str:
        try:
            while data := os.read(self.ours, 4096):
                self._text += data
        except OSError:  # a terminal that nobody has open any more
            pass
        return self._text.decode()


@pytest.fixture
def started() -> Iterator[list[Started]]:
    every: list[Started] = []
    yield every
    for one in every:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        os.close(one.ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_terminal_a_signal_reaches_all_that_it_started_once(
    number: signal.Signals, started: list[Started]
) -> None:
    child = program(TELLS_SIGNALS, "1")
    started.append(one := Started(["sh", "-c", 'trap "" INT TERM; "$@"; exit $?', "sh", *child], on_terminal=False))
    one.read_until("ready")
    one.process.send_signal(number)
    one.read_until(f"got {number.value}")
    assert one.process.wait(60) == 41
    assert "got" not in one.rest()


def test_ctrl_c_on_a_terminal_reaches_it_once(started: list[Started]) -> None:
    started.append(one := Started(program(TELLS_SIGNALS, "2"), on_terminal=True))
    one.read_until("ready")
    os.write(one.ours, b"\x03")
    one.read_until("got 2")
    # Had it come twice, the command would have ended with the first.
    assert one.process.poll() is None
    one.process.send_signal(signal.SIGTERM)
    one.read_until("got 15")
    assert one.process.wait(60) == 42


def test_a_command_that_does_not_end_is_killed_after_the_second_signal(started: list[Started]) -> None:
    started.append(one := Started(program(TELLS_SIGNALS, "9"), on_terminal=False))
    one.read_until("ready")
    for number in (signal.SIGINT, signal.SIGTERM):
        one.process.send_signal(number)
        one.read_until(f"got {number.value}")
    assert one.process.wait(60) == 128 + signal.SIGKILL


def test_a_command_that_runs_on_after_a_key_is_told_of(started: list[Started]) -> None:
    started.append(one := Started(program(TELLS_SIGNALS, "2"), on_terminal=True))
    one.read_until("ready")
    os.write(one.ours, b"\x03")
    one.read_until("it runs on")
    os.write(one.ours, b"\x03")
    assert one.process.wait(60) == 42


def test_it_reads_from_the_terminal(started: list[Started]) -> None:
    started.append(one := Started(program("print('say', flush=True); print('heard', input())"), on_terminal=True))
    one.read_until("say")
    os.write(one.ours, b"hello\n")
    one.read_until("heard hello")
    assert one.process.wait(60) == 0


def test_what_we_ignore_it_ignores(started: list[Started]) -> None:
    asks = program("import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)")
    started.append(one := Started(["nohup", *asks], on_terminal=False))
    one.read_until("True")
    assert one.process.wait(60) == 0
