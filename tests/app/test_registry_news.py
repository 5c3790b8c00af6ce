"""What a change in a registry means to a ref."""

from __future__ import annotations

import pytest

from orchestrator.app.registry.news import concerns, may_move
from orchestrator.core.refs import parse_ref
from orchestrator.registry.audit import Deed
from orchestrator.registry.document import TrailEntry

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
