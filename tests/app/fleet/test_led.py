"""The end of a node that schedulers lead."""

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.app.fleet.led import Fuse, LedNode, Linger, rests_of
from orchestrator.app.fleet.orders import OrderBook
from orchestrator.core.refs import parse_ref
from orchestrator.core.sources import site_of
from orchestrator.core.trust import Trust
from orchestrator.errors import Interrupted
from orchestrator.events import ignore
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, render_lock
from orchestrator.net.session import Net
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.signals import Stop
from tests import plain

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


def test_a_registry_that_is_asked_too_much_is_left_alone_for_its_blobs() -> None:
    digest = "ab" * 32
    pinned = parse_ref(f"oci://r.example/team/model@sha256:{digest}")
    files = (LockedFile.of_lfs("a.bin", 9, digest),)
    locked = LockedModel(parse_ref("reg://team/model@prod"), digest[:40], Trust("single", "x"), files, pinned=pinned)
    (host,) = set(TaskListing.of("t", render_lock(Lock((locked,)))).hosts.values())
    site = site_of(pinned)
    assert site is not None
    with Net() as net:
        sources = plain.sources(plain.ROOT, net=net)
        sources.met[site.name] = site
        assert rests_of(sources) == {}
        net.busy.note(f"{site.url}/team/model/blobs/x", 5)
        assert list(rests_of(sources)) == [host]
