"""Processes: pids that are none, makers that have ended, and no signal to anybody who was not proven."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.disk.locks import state_lock
from orchestrator.system import processes
from orchestrator.system.processes import Process, is_left_behind, lives, made_name, parse_pid, started

HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    "value",
    ["", "x", "-1", "0", "+5", " 5", "5 ", "٣", "1e3", HUGE, str(2**31), 2**64, -1, 0, 1.0, True, None, b"5", "5\n"],
)
def test_what_is_no_pid_does_not_live(value: object) -> None:
    assert parse_pid(value) is None
    assert not lives(value, "")


def test_a_pid_lives_with_its_start_time() -> None:
    assert parse_pid("1") == 1
    assert parse_pid(str(os.getpid())) == parse_pid(os.getpid()) == os.getpid()
    assert lives(os.getpid(), started(os.getpid()))
    assert lives(str(os.getpid()), started(os.getpid()))
    assert not lives(os.getpid(), "1")


def test_a_name_with_a_pid_that_is_none_is_nobody_s(tmp_path: Path) -> None:
    mine = made_name("run")
    assert not is_left_behind(tmp_path / mine, "run")
    assert not is_left_behind(tmp_path / mine)  # another kind
    assert is_left_behind(tmp_path / mine.replace(f"-{os.getpid()}-", "-4194305-"), "run")
    assert not is_left_behind(tmp_path / mine.replace(f"-{os.getpid()}-", f"-{HUGE}-"), "run")


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours with an argument that only it has."""
    with subprocess.Popen([sys.executable, "-c", "input()", "--conf=/x/y"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture(params=["pidfd", "pid", "ps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How this system holds and looks at processes: with pidfds, without them, and without /proc."""
    way: str = request.param
    if way != "pidfd":
        monkeypatch.setattr(processes, "hold", lambda _pid: None)
    if way == "ps":
        monkeypatch.setattr(processes, "_HAS_PROC", False)
    return way


def test_the_right_one_is_ended(victim: subprocess.Popen[bytes], way: str) -> None:
    process = Process(victim.pid, started(victim.pid), "--conf=/x/y")
    assert process.is_running
    assert process.end(patience=5, gently=True)
    assert not process.is_running
    assert not process.end(patience=5)


def test_one_that_ignores_sigterm_is_killed(way: str) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
    words = [sys.executable, "-c", code, "--conf=/x/y"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout
        stubborn.stdout.readline()
        process = Process(stubborn.pid, started(stubborn.pid), "--conf=/x/y")
        assert process.end(patience=0.2, gently=True)
        assert not process.is_running


def test_another_one_is_not_touched(victim: subprocess.Popen[bytes], way: str) -> None:
    since = started(victim.pid)
    wrong = [Process(victim.pid, since, "--conf=/x/z")]
    wrong += [Process(victim.pid, "1", "--conf=/x/y"), Process(victim.pid, since, "--conf")] if way != "ps" else []
    for process in wrong:
        assert not process.is_running
        assert not process.end(patience=1)
    assert victim.poll() is None


@pytest.mark.parametrize("pid", [-1, 0, 1, 2**31 - 1])
def test_nothing_is_sent_to_everybody_to_our_group_or_to_init(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    assert not Process(pid, started(pid), "").end(patience=0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have a process of another user")
def test_a_process_of_another_user_is_not_ours() -> None:
    words = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        sys.executable,
        "-c",
        "print(flush=True); input()",
        "--conf=/x",
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        process = Process(other.pid, started(other.pid), "--conf=/x")
        assert not process.is_running
        assert not process.end(patience=1)
        assert other.poll() is None
        other.kill()


def test_a_lock_whose_file_the_holder_removes(tmp_path: Path) -> None:
    """Who waited for it has the lock of a file that nobody else would find, and takes the new one."""
    lock, inside, order = tmp_path / "x.lock", threading.Barrier(2), []

    def hold() -> None:
        with state_lock(lock):
            inside.wait()
            inside.wait()
            lock.unlink()
            order.append("first")

    first = threading.Thread(target=hold)
    first.start()
    inside.wait()
    with state_lock(tmp_path / "other.lock"):
        pass

    def wait() -> None:
        with state_lock(lock):
            order.append("second")
            assert lock.exists()

    second = threading.Thread(target=wait)
    second.start()
    inside.wait()
    first.join()
    second.join()
    assert order == ["first", "second"]


def test_a_lock_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="symbolic"), state_lock(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "theirs").exists()
