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
from tests.machine.machine import until

# Others may run these tests on the same loopback.
OURS, THEIRS = (FleetKeys.parse(secrets.token_hex()).marks for _ in range(2))
RUN = secrets.token_hex(4)
LOOPBACK = ["127.0.0.1"]


def found(own: Discovery, is_so: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...]:
    """The addresses that it found, once they are as they should be."""
    assert until(lambda: is_so(own.addresses), 20)
    return own.addresses


@contextmanager
def announced(node: str, port: int, marks: tuple[str, ...] = OURS, host: str = "127.0.0.1") -> Iterator[Discovery]:
    said = Announcement(f"{node}-{RUN}", host, port, marks)
    with Discovery(said, lambda _event: None, interfaces=LOOPBACK) as own:
        yield own


def test_nodes_of_a_fleet_find_each_other_and_see_who_leaves() -> None:
    with announced("a", 1001) as a, ExitStack() as stack:
        b = stack.enter_context(announced("b", 1002))
        assert found(a, bool) == ("http://127.0.0.1:1002",)
        assert found(b, bool) == ("http://127.0.0.1:1001",)
        with announced("c", 1003):
            assert set(found(a, lambda known: len(known) == 2)) == {"http://127.0.0.1:1002", "http://127.0.0.1:1003"}
        stack.close()
        assert found(a, lambda known: not known) == ()


def test_nodes_of_another_fleet_are_not_seen() -> None:
    with announced("a", 1001) as a, announced("other", 1002, THEIRS), announced("b", 1003, (*THEIRS, *OURS)):
        assert found(a, bool) == ("http://127.0.0.1:1003",)


def test_nothing_is_announced_but_an_address_and_a_mark() -> None:
    from zeroconf import ServiceInfo, Zeroconf

    with announced("a", 1001) as a, announced("b", 1002):
        found(a, bool)
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
            assert found(a, bool) == ("http://127.0.0.1:1002",)
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
