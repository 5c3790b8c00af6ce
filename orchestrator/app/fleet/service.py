"""The calls of `scheduler` and `fleet`: a scheduler until a signal comes, tasks submitted and watched, nodes listed."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.app.compose import known_state, mover_of, sweep
from orchestrator.app.extras import server_libraries
from orchestrator.app.fleet.control import board_at, calling, event_loop, hosted, linked
from orchestrator.app.fleet.roll_call import RollCall
from orchestrator.app.fleet.watching import TaskWatch, named
from orchestrator.app.opening import opened
from orchestrator.app.peers.keys import needed_keys
from orchestrator.core.addresses import is_this_machine
from orchestrator.errors import Interrupted
from orchestrator.events import Emit, FleetNews
from orchestrator.lists.lockfile import render_lock
from orchestrator.lists.request import PullRequest
from orchestrator.settings import Settings
from orchestrator.supervisor import supervised
from orchestrator.system.signals import Stop, stoppable

if TYPE_CHECKING:
    from orchestrator.app.fleet.node import EndedNode
    from orchestrator.pulling.locking import FreshLock
    from orchestrator.swarm.control.line import FleetCalls
    from orchestrator.swarm.control.messages import NodeStatus, TaskStatus

_GLANCE = 1.0
_COLLECT = (20_000, 5, 5)
"""New objects after which the collector of a scheduler looks at them; and how many looks come before an older look."""


@dataclass(frozen=True, slots=True)
class EndedScheduler:
    """A scheduler that has ended: the port that it had, and the number of tasks that it knew."""

    port: int
    tasks: int


@dataclass(frozen=True, slots=True)
class FleetServices:
    """The calls, with the settings of a run. All raise TemporaryError when no scheduler answers, and NotAllowedError
    where it does not know this user."""

    settings: Settings

    def schedule(self, listen: str, emit: Emit, on_ready: Callable[[int], None]) -> EndedScheduler:
        """Schedule until a signal comes; `on_ready` is told the port. Raises ConfigError without the libraries or a key
        of the fleet, CannotCreateError for the address, and what a bug raises that ends the scheduling."""
        keys = needed_keys(self.settings)
        with server_libraries("fleet"):
            from orchestrator.serve.access.keyring import Keyring
            from orchestrator.serve.access.tokens import TokenFile

        tokens = Keyring(TokenFile(known_state(self.settings)), emit=emit)
        _collect_seldom()
        with (
            stoppable() as stop,
            closing(board_at(self.settings.fleet_redis, keys)) as board,
            event_loop() as loop,
            hosted(self.settings, board, listen, loop, emit, tokens=tokens) as own,
            linked(self.settings, own, emit),
        ):
            stop.is_abrupt = False
            on_ready(own.port)
            if is_this_machine(listen.rpartition(":")[0]):
                emit(FleetNews("loopback", "only this machine reaches it; for others: --listen 0.0.0.0:8091"))
            roll = RollCall(emit)
            with supervised(loop.run, own.status):
                while not stop.wait(_GLANCE):
                    own.check()
                    roll.look(own.ask(lambda scheduler: scheduler.nodes()))
            return EndedScheduler(own.port, len(own.ask(lambda scheduler: scheduler.tasks())))

    def node(self, emit: Emit, on_ready: Callable[[str], None]) -> EndedNode:
        """Take tasks until a signal comes, or the node was drained; `on_ready` is told its name.

        Raises UsageError where no scheduler is named, ConfigError without the libraries or a key, CannotCreateError
        when nothing can listen.
        """
        from orchestrator.app.fleet.node import serve_node

        with stoppable() as stop:
            return serve_node(self.settings, stop, emit, on_ready)

    def submit(self, wanted: PullRequest, selector: str, priority: int, emit: Emit) -> TaskStatus:
        """Have the nodes that the selector matches pull models: a task that was cancelled, or failed at some nodes,
        begins again. Raises what resolving raises, and ConfigError without a key of the fleet: a token does not do,
        since who submits decides what nodes place."""
        from orchestrator.app.fleet.orders import KEY, another_key, name_of
        from orchestrator.swarm.control.access import sealed
        from orchestrator.swarm.control.messages import Submission, TaskState

        keys, member = needed_keys(self.settings), replace(self.settings, fleet_token=None)

        with stoppable() as stop:
            fresh = self._locked(wanted, stop, emit)
            text = render_lock(fresh.lock)
            key = hashlib.sha256(f"{selector}\n{text}".encode()).hexdigest()[:KEY]
            asked = Submission(key, name_of(fresh.lock), selector, priority, text, "", fresh.is_closed)

            async def begin(calls: FleetCalls) -> TaskStatus:
                found = await calls.submit(sealed(keys, asked))
                while found.state in (TaskState.CANCELLED, TaskState.PARTIAL):
                    found = await calls.submit(sealed(keys, replace(asked, key=another_key(key, found.id))))
                return found

            with calling(member, emit) as fleet:
                return fleet.do(begin, stop)

    def watch(self, task: str | None, emit: Emit, see: Callable[[TaskStatus], None]) -> TaskStatus:
        """Tell `see` how a task goes, the newest one where none is named, until it has ended. Raises NotFoundError."""
        watch = TaskWatch(task, emit, see)
        try:
            with stoppable() as stop, calling(self.settings, emit) as fleet:
                return watch.until_the_end(fleet, stop)
        except Interrupted as error:
            error.message = "stopped looking; the nodes go on"
            error.hint = f"look again: {' '.join(filter(None, ('glm-aria fleet watch', watch.task)))}"
            raise

    def listing(self, emit: Emit) -> tuple[tuple[NodeStatus, ...], tuple[TaskStatus, ...]]:
        """The nodes of the fleet, and its tasks."""

        async def look(calls: FleetCalls) -> tuple[tuple[NodeStatus, ...], tuple[TaskStatus, ...]]:
            return await calls.nodes(), await calls.tasks()

        with stoppable() as stop, calling(self.settings, emit) as fleet:
            return fleet.do(look, stop)

    def drain(self, node: str, emit: Emit) -> NodeStatus:
        """Give a node no more work. Raises NotFoundError."""
        with stoppable() as stop, calling(self.settings, emit) as fleet:
            return fleet.do(lambda calls: calls.drain(node), stop)

    def cancel(self, task: str, emit: Emit) -> TaskStatus:
        """End a task. Raises NotFoundError, UsageError for a beginning of several."""

        async def end(calls: FleetCalls) -> TaskStatus:
            return await calls.cancel(await named(calls, task))

        with stoppable() as stop, calling(self.settings, emit) as fleet:
            return fleet.do(end, stop)

    def _locked(self, request: PullRequest, stop: Stop, emit: Emit) -> FreshLock:
        from orchestrator.pulling.locking import lock_ahead

        with opened(self.settings, stop, emit) as (cache, sources, sites, told):
            mover = mover_of(self.settings)
            fresh = lock_ahead(request, sites, sources, cache, mover, stop=stop, emit=told)
            sweep(cache.staging)
            return fresh


def _collect_seldom() -> None:
    """Have the collector of cycles leave alone what is loaded, and look at the rest when there is much that is new. A
    view of a thousand nodes is some thousand values that live for one plan: they had it walk all that a scheduler
    knows, for 60 to 400 ms in which no node was answered."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
