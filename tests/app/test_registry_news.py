"""What a change in a registry means to a ref."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict

import pytest

from orchestrator.app.registry.news import RegistryNews, concerns, may_move
from orchestrator.core.refs import parse_ref
from orchestrator.events import ignore
from orchestrator.lists.request import Item
from orchestrator.net.session import Net
from orchestrator.registry.audit import Deed
from orchestrator.registry.document import TrailEntry
from tests.servers.registry import Answered, Seen, SmallServer

DIGEST = f"sha256:{'1' * 64}"


def change(deed: Deed, name: str, model: str = "team/model") -> TrailEntry:
    return TrailEntry(1, 0.0, "ci", deed, model, name, "", DIGEST, "")


@pytest.mark.parametrize(
    ("ref", "moves"),
    [("prod", True), ("^1.2", True), ("*", True), ("1.x", True), ("1.2.3", False), (DIGEST, False)],
)
def test_what_may_move(ref: str, moves: bool) -> None:
    assert may_move(parse_ref(f"reg://team/model@{ref}")) is moves


def test_only_refs_of_a_registry_are_listened_for() -> None:
    assert not may_move(parse_ref("team/model@prod"))


@pytest.mark.parametrize(
    ("ref", "entry", "concerned"),
    [
        ("prod", change(Deed.MOVE, "prod"), True),
        ("prod", change(Deed.REMOVE, "prod"), True),
        ("prod", change(Deed.RESTORE, "prod"), True),
        ("prod", change(Deed.MOVE, "staging"), False),
        ("prod", change(Deed.PUBLISH, "1.2.3"), False),
        ("prod", change(Deed.MOVE, "prod", "team/other"), False),
        ("^1.2", change(Deed.PUBLISH, "1.2.3"), True),
        ("^1.2", change(Deed.ADOPT, "1.2.3"), True),
        ("^1.2", change(Deed.ADOPT, "prod"), False),
        ("^1.2", change(Deed.MOVE, "prod"), False),
    ],
)
def test_what_concerns_whom(ref: str, entry: TrailEntry, concerned: bool) -> None:
    assert concerns(entry, parse_ref(f"reg://team/model@{ref}")) is concerned


@pytest.mark.parametrize("number", ["2", "\u2713", "x" * 70_000])
@pytest.mark.parametrize("at", [0, 10**400, float("nan"), "soon"])
def test_an_event_that_is_none_ends_the_news_for_a_while_and_not_for_good(number: str, at: object) -> None:
    """The server is asked again after anything that it says; by the number of the last event, if that is one."""
    entry = json.dumps({**asdict(change(Deed.MOVE, "prod")), "at": at})
    body = f"id: 1\nevent: ready\ndata: {{}}\n\nid: {number}\ndata: {entry}\n\n".encode()
    asked_again = threading.Event()

    def answer(_: Seen) -> Answered:
        if len(server.seen) > 1:
            asked_again.set()
        return Answered(200, body, {"Content-Type": "text/event-stream"})

    item = Item(parse_ref("reg://team/model@prod"))
    with (
        SmallServer(answer) as server,
        Net(sleep=lambda _: None) as net,
        RegistryNews(server.url, net, ignore, roll=lambda: 0.0) as news,
    ):
        news.follow([item])
        assert asked_again.wait(20)
        assert news.moved() == {item}
