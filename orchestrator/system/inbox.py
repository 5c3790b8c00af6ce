"""One wait for all that workers bring: their results fall into an inbox, and one thread takes them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty
from typing import Generic, ParamSpec, Protocol, TypeVar

from orchestrator.system.queues import OneReaderQueue
from orchestrator.system.threads import MakePool, Pool

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
P = ParamSpec("P")


class Sink(Protocol[M_contra]):
    """The end of an inbox that workers see; see there."""

    make_pool: MakePool

    def put(self, message: M_contra) -> None: ...

    def wake(self) -> None: ...

    def submit(self, pool: Executor, step: Callable[P, M_contra], *args: P.args, **kwargs: P.kwargs) -> None: ...


class Inbox(Generic[M]):
    """Messages for the thread that made it, which alone takes them out; any thread may put them in.

    `make_pool` makes the pools of its workers. With `SerialPool` each step is done while it is submitted, in the same
    order whenever it is repeated.
    """

    def __init__(self, make_pool: MakePool = Pool) -> None:
        self.make_pool = make_pool
        self._queue: OneReaderQueue[Future[M] | tuple[M] | None] = OneReaderQueue()

    def put(self, message: M) -> None:
        """Add a message. May be called by any thread, and by a signal handler."""
        self._queue.put((message,))

    def wake(self) -> None:
        """End the wait in `take`, with nothing to take. May be called by any thread."""
        self._queue.put(None)

    def submit(self, pool: Executor, step: Callable[P, M], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the pool do a step. The message that it returns falls in here; what it raises, `take` raises.

        Nothing comes of a step that the pool was closed before. Raises what the pool's `submit` does.
        """
        pool.submit(step, *args, **kwargs).add_done_callback(self._queue.put)

    def take(self, until: float) -> Iterator[M]:
        """Wait for a message, until then (monotonic seconds) at the latest; all that are here, in their order."""
        with suppress(Empty):
            while True:
                found = self._queue.get(until)
                until = 0.0
                if isinstance(found, tuple):
                    yield found[0]
                elif found is not None and not found.cancelled():
                    yield found.result()
