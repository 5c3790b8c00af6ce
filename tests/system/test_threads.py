"""Threads that the system refuses: fewer do the work, none is an error that names the limit. As a user of its own."""

from __future__ import annotations

import subprocess
import sys

from orchestrator.system.limits import scarce
from tests.e2e.machine import REPOSITORY
from tests.machine.conditions import as_user, limited, needs_root

# The limit counts all threads of a user, so the user must have no other process.
UID = 424_301
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
    words = [*as_user(UID).under, *limited(nproc=threads).under, sys.executable, "-c", CODE]
    env = {"PYTHONPATH": str(REPOSITORY), "HOME": "/"}
    return subprocess.run(words, env=env, check=True, capture_output=True, text=True, timeout=60).stdout


@needs_root
def test_fewer_threads_do_all_the_work() -> None:
    hint, counts = run(70).splitlines()
    assert "ulimit -u" in hint
    assert counts == "140 69"


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
