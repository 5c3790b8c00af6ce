"""Nodes that find each other by multicast DNS, by the library that does it, on loopback."""

import builtins
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from orchestrator.errors import ConfigError
from orchestrator.events import Event
from orchestrator.swarm import discovery
from orchestrator.swarm.discovery import Announcement, Discovery, refuse_missing
from orchestrator.swarm.tickets import FleetKeys

# Others may run these tests on the same loopback.
OURS, THEIRS = (FleetKeys.parse(secrets.token_hex()).marks for _ in range(2))
RUN = secrets.token_hex(4)
LOOPBACK = ["127.0.0.1"]


class Found:
    """One that looks for others: waits until what it knows is as it should be."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.discovery: Discovery | None = None
        self.said: list[Event] = []

    def call(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def until(self, is_so: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...]:
        assert self.discovery
        with self._changed:
            assert self._changed.wait_for(lambda: self.discovery is not None and is_so(self.discovery.addresses), 20)
            return self.discovery.addresses


@contextmanager
def announced(node: str, port: int, marks: tuple[str, ...] = OURS, host: str = "127.0.0.1") -> Iterator[Found]:
    found = Found()
    own = Announcement(f"{node}-{RUN}", host, port, marks)
    with Discovery(own, found.said.append, call=found.call, interfaces=LOOPBACK) as found.discovery:
        yield found


def test_nodes_of_a_fleet_find_each_other_and_see_who_leaves() -> None:
    with announced("a", 1001) as a, ExitStack() as stack:
        b = stack.enter_context(announced("b", 1002))
        assert a.until(bool) == ("http://127.0.0.1:1002",)
        assert b.until(bool) == ("http://127.0.0.1:1001",)
        with announced("c", 1003):
            assert set(a.until(lambda known: len(known) == 2)) == {"http://127.0.0.1:1002", "http://127.0.0.1:1003"}
        stack.close()
        assert a.until(lambda known: not known) == ()


def test_nodes_of_another_fleet_are_not_seen() -> None:
    with announced("a", 1001) as a, announced("other", 1002, THEIRS), announced("b", 1003, (*THEIRS, *OURS)):
        assert a.until(bool) == ("http://127.0.0.1:1003",)


def test_nothing_is_announced_but_an_address_and_a_mark() -> None:
    from zeroconf import ServiceInfo, Zeroconf

    with announced("a", 1001) as a, announced("b", 1002):
        a.until(bool)
        network = Zeroconf(interfaces=LOOPBACK)
        try:
            info = ServiceInfo(discovery.SERVICE, f"b-{RUN}.{discovery.SERVICE}")
            assert info.request(network, 3000)
            assert info.properties == {b"f": OURS[0].encode(), b"s": b"http"}
        finally:
            network.close()


@pytest.mark.parametrize("properties", [{}, {"f": ""}, {"f": OURS[0], "s": "file"}, {"f": "\udcff"}, {"s": "http"}])
def test_what_is_announced_wrongly_is_passed_over(properties: dict[str, str]) -> None:
    from zeroconf import ServiceInfo, Zeroconf

    network = Zeroconf(interfaces=LOOPBACK)
    odd = {key: value.encode("utf-8", "surrogateescape") for key, value in properties.items()}
    try:
        name = f"odd-{secrets.token_hex(4)}.{discovery.SERVICE}"
        network.register_service(
            ServiceInfo(discovery.SERVICE, name, port=99, properties=odd, parsed_addresses=["127.0.0.1"])
        )
        with announced("a", 1001) as a, announced("b", 1002):
            assert a.until(bool) == ("http://127.0.0.1:1002",)
    finally:
        network.close()


def test_a_system_without_multicast_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(discovery, "_opened", refuse)
    said: list[Event] = []
    told = threading.Event()
    with Discovery(Announcement("a", "127.0.0.1", 1, OURS), lambda event: (said.append(event), told.set())[0]):
        assert told.wait(10)
    assert [getattr(event, "code", None) for event in said] == ["no-multicast"]


def test_without_the_library_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "zeroconf":
            raise ImportError(name=name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "zeroconf", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError) as caught:
        refuse_missing()
    assert "glm-aria[fleet]" in (caught.value.hint or "")
