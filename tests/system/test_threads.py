"""Threads that the system refuses: fewer do the work, none is an error that names the limit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from orchestrator.errors import ProtocolError
from orchestrator.system import threads
from orchestrator.system.limits import scarce
from orchestrator.system.threads import Step, at_once
from tests.machine.conditions import as_user, limited, lone_uid, needs_root
from tests.machine.machine import REPOSITORY

CODE = """
import threading
from orchestrator.errors import TemporaryError
from orchestrator.system.threads import Pool, start
gate = threading.Event()
pool = Pool(100)
try:
    done = [pool.submit(gate.wait) for _ in range(140)]
    more = threading.Thread(target=gate.wait, daemon=True)
    try:
        start(more)
        print("one more")
    except TemporaryError as error:
        print(error.hint)
    gate.set()
    print(sum(future.result() for future in done), len(pool._threads))
except TemporaryError as error:
    print(error.exit_code, error.message)
"""


def run(threads: int) -> str:
    words = [*as_user(lone_uid()).under, *limited(nproc=threads).under, sys.executable, "-c", CODE]
    env = {"PYTHONPATH": str(REPOSITORY), "HOME": "/"}
    return subprocess.run(words, env=env, check=True, capture_output=True, text=True, timeout=60).stdout


@needs_root
def test_fewer_threads_do_all_the_work() -> None:
    hint, counts = run(70).splitlines()
    assert "ulimit -u" in hint
    done, used = map(int, counts.split())
    assert done == 140
    assert 1 < used < 70


@needs_root
def test_where_few_are_allowed_a_pool_leaves_some_to_others() -> None:
    assert run(4).splitlines() == ["one more", "140 1"]


@needs_root
def test_without_any_thread_the_limit_is_named() -> None:
    said = run(1)
    assert said.startswith("75 no thread can be started: the limit is 1 processes")


def test_other_errors_are_left_alone() -> None:
    assert scarce(RuntimeError("cannot schedule new futures after shutdown")) is None
    assert scarce(FileNotFoundError(2, "no")) is None
    assert scarce(BlockingIOError(11, "again"))


# -- at_once


def test_steps_keep_what_they_returned_and_raised() -> None:
    good, bad = Step("good", lambda: 7), Step("bad", _failing)
    at_once([good, bad])
    assert (good.result(), good.is_done, bad.value) == (7, True, None)
    with pytest.raises(ProtocolError):
        bad.result()


def test_all_steps_run_beside_each_other() -> None:
    meeting = threading.Barrier(3, timeout=10)
    steps = [Step(str(number), meeting.wait) for number in range(3)]
    at_once(steps, 20)
    assert {step.result() for step in steps} == {0, 1, 2}


def test_no_more_than_the_most_at_a_time() -> None:
    lock, running, seen = threading.Lock(), [0], [0]

    def count() -> None:
        with lock:
            running[0] += 1
            seen[0] = max(seen[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    at_once([Step(str(number), count) for number in range(12)], most=3)
    assert 1 <= seen[0] <= 3


def test_a_late_step_is_left_alone_and_stays_undone() -> None:
    gate = threading.Event()
    late, quick = Step("late", lambda: gate.wait(30)), Step("quick", lambda: 1)
    begun = time.monotonic()
    at_once([late, quick], 0.3)
    assert time.monotonic() - begun < 10
    assert (quick.value, late.value, late.is_done, late.error) == (1, None, False, None)
    gate.set()
    time.sleep(0.05)
    assert not late.is_done


def test_an_error_that_nobody_expected_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        at_once([Step("bug", lambda: 1 // 0)])


def test_where_no_thread_starts_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "try_start", lambda _: False)
    steps = [Step(str(number), threading.current_thread) for number in range(3)]
    at_once(steps, 5)
    assert {step.result() for step in steps} == {threading.current_thread()}


def test_nothing_to_do_takes_no_time() -> None:
    begun = time.monotonic()
    at_once([], 60)
    assert time.monotonic() - begun < 30


def _failing() -> int:
    raise ProtocolError("no")
