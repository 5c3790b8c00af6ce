"""The end of a node that schedulers lead."""

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.app.fleet.led import Fuse, LedNode, Linger
from orchestrator.app.fleet.orders import OrderBook
from orchestrator.errors import Interrupted
from orchestrator.events import ignore
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.signals import Stop

KEYS = FleetKeys((b"k" * 32,))


def node(ask: Callable[[OrderBook], None], seconds: float = 60.0) -> LedNode:
    """A node whose schedulers do this when they are told that it leaves."""
    inbox = OrderBook(KEYS, ignore)
    inbox.welcomes = 1
    company = SimpleNamespace(guide=SimpleNamespace(is_alone=False), is_awaited=False)
    calling = SimpleNamespace(do=lambda *_: ask(inbox))
    made: Any = LedNode("n1", cast(Any, company), cast(Any, calling), inbox, KEYS, None, Linger(seconds))
    return cast(LedNode, made)


def test_a_scheduler_that_comes_while_another_is_told_is_told_too() -> None:
    asked: list[int] = []

    def ask(inbox: OrderBook) -> None:
        asked.append(inbox.welcomes)
        if inbox.welcomes == 1:
            inbox.welcomes = 2
        else:
            inbox.may_leave.set()

    node(ask).leave(Stop(), ignore)
    assert asked == [1, 2]


def test_who_stops_a_node_that_is_done_ends_its_stay_and_nothing_else() -> None:
    stop = Stop()

    def ask(_inbox: OrderBook) -> None:
        stop.set()
        raise Interrupted(2)

    node(ask).leave(stop, ignore)
    assert not stop.is_abrupt


def test_a_node_lingers_for_its_seconds_in_all() -> None:
    stays = node(lambda _: None, seconds=0.0)
    stays.leave(Stop(), ignore)
    assert not stays.linger.left


def test_only_an_error_of_what_a_run_waits_for_stops_it() -> None:
    ended, broken, cancelled = Future[None](), Future[None](), Future[None]()
    ended.set_result(None)
    broken.set_exception(RuntimeError("a bug"))
    cancelled.cancel()
    stop = Stop()
    fuse = Fuse(stop)
    for future in (ended, cancelled):
        fuse.see(future)
    fuse.check()
    assert not stop.is_set()
    fuse.see(broken)
    assert stop.is_set()
    with pytest.raises(RuntimeError, match="a bug"):
        fuse.check()
