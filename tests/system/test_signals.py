"""Stop: set by a handler, whatever the thread does that was interrupted."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial

import pytest

from orchestrator.errors import Interrupted
from orchestrator.system.signals import Stop, stoppable
from tests.system.interrupting import LINES, interrupted

LONG = 30.0


def test_a_handler_may_set_it_at_any_line_of_a_wait() -> None:
    for line in LINES:
        stop = Stop()
        assert interrupted(line, partial(stop.wait, LONG), stop.set).result(LONG / 2), line


def test_it_is_awaited_by_several_threads() -> None:
    stop = Stop()
    assert not stop.wait(0)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(stop.wait(LONG)), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.set()
    stop.set()
    for thread in threads:
        thread.join(LONG / 2)
    assert answers == [True] * 4
    assert stop.wait()
    assert stop.is_set()


def test_a_wait_ends_in_time() -> None:
    begun = time.monotonic()
    assert not Stop().wait(0.05)
    assert time.monotonic() >= begun + 0.05


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_it_and_the_second_finds_the_old_handler(number: int) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop:
        stop.is_abrupt = False
        os.kill(os.getpid(), number)
        assert stop.wait(LONG)
        assert stop.signal_number == number
        assert signal.getsignal(number) is before


def test_an_abrupt_one_interrupts() -> None:
    with stoppable() as stop, pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    assert stop.is_set()
