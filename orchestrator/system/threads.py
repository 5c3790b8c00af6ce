"""Threads, as many as the system grants: where it refuses one, those that there are do the work."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Generic, ParamSpec, TypeVar

from orchestrator.errors import GlmAriaError, TemporaryError
from orchestrator.system.limits import is_tight, scarce
from orchestrator.system.queues import OneReaderQueue

T = TypeVar("T")
P = ParamSpec("P")
MakePool = Callable[[int, str], Executor]
"""Makes a pool of so many threads at most, by a name."""


class Pool(ThreadPoolExecutor):
    """An executor that makes do with fewer threads than it was made for; `submit` raises TemporaryError without any.

    Where few are allowed it has one, so that one is left for each of the others.
    """

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(1 if is_tight() else max_workers, thread_name_prefix)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                raise scarce(error) or error from error


@contextmanager
def passing_pool(most: int, name: str) -> Iterator[Pool]:
    """A pool whose end waits for no thread: one may wait for a site that is slow to answer what nobody needs."""
    pool = Pool(most, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class SerialPool(Executor):
    """Does each step at once, in the thread that submits it: a flow without threads, for tests that must not vary."""

    def __init__(self, max_workers: int = 1, thread_name_prefix: str = "") -> None:
        """Take what a `Pool` takes; there are no threads to bound or to name."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it; the future is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future raises it
            future.set_exception(error)
        return future


class KeyedPools:
    """A pool of `most` threads for each key, made when it is needed: a step that waits holds up none of another key.

    Any thread calls `on_done` when a step has ended.
    """

    def __init__(self, make_pool: MakePool, most: int, name: str, on_done: Callable[[], None]) -> None:
        self._make_pool = make_pool
        self._most = most
        self._name = name
        self._on_done = on_done
        self._pools: dict[str, Executor] = {}

    def submit(self, key: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread of this key do a step. Raises what a pool's `submit` does."""
        if key not in self._pools:
            self._pools[key] = self._make_pool(self._most, self._name)
        future = self._pools[key].submit(step, *args, **kwargs)
        future.add_done_callback(lambda _: self._on_done())
        return future

    def close(self) -> None:
        """Begin nothing more. A step that is under way is not waited for."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


def start(thread: Thread) -> None:
    """Start a thread. Raises TemporaryError where the system refuses it."""
    try:
        thread.start()
    except RuntimeError as error:
        raise scarce(error) or error from error


def try_start(thread: Thread) -> bool:
    """Start an optional thread; False if the system refuses it."""
    try:
        start(thread)
    except TemporaryError:
        return False
    return True


@dataclass(slots=True, eq=False)
class Step(Generic[T]):
    """One of the things that `at_once` does: `call`, called `name` for people.

    `value` is what it returned and `error` what it raised; both are None while it is not done (`is_done`), and stay so
    for a step that was late.
    """

    name: str
    call: Callable[[], T]
    value: T | None = None
    error: GlmAriaError | OSError | None = None
    is_done: bool = False

    def result(self) -> T:
        """The result of a finished step; raises its error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def at_once(steps: Sequence[Step[Any]], seconds: float | None = None, *, most: int = 64, name: str = "step") -> None:
    """Do all steps beside each other, at most `most` at a time, and wait `seconds` for them (None: to their end).

    A GlmAriaError or OSError is kept in its step; any other exception of a step is raised here. Nobody waits longer for
    a step that is late, and none begins after that; the threads are daemons, so they keep no program from ending. Where
    the system grants fewer threads, fewer do the work; without any the caller does it. Where few are allowed, work that
    is not in a hurry takes one.
    """
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    todo: queue.SimpleQueue[Step[Any]] = queue.SimpleQueue()
    done: OneReaderQueue[tuple[Step[Any], Any, BaseException | None]] = OneReaderQueue()
    for step in steps:
        todo.put(step)
    is_over = Event()

    def work() -> None:
        while not is_over.is_set() and time.monotonic() <= deadline:
            try:
                step = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((step, step.call(), None))
            except BaseException as error:  # noqa: BLE001 - raised again where the step is waited for
                done.put((step, None, error))

    wanted = 1 if is_tight() and seconds is None else min(len(steps), most)
    threads = [Thread(target=work, name=f"{name}-{number}", daemon=True) for number in range(wanted)]
    started = [thread for thread in threads if try_start(thread)]
    if not started:
        work()
    try:
        for _ in steps:
            step, value, error = done.get(deadline)
            if error is not None and not isinstance(error, GlmAriaError | OSError):
                raise error
            step.value, step.error, step.is_done = value, error, True
    except queue.Empty:
        return
    finally:
        is_over.set()
