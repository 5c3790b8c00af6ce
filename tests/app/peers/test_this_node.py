"""The name of a node."""

import os
from pathlib import Path

import pytest

from orchestrator.app.peers.this_node import this_node
from orchestrator.swarm.holdings import is_node_name


def test_a_node_keeps_its_name_and_begins_a_later_epoch() -> None:
    first, second = this_node(Path("/a"), 8090), this_node(Path("/a"), 8090)
    assert first.node == second.node
    assert first.epoch <= second.epoch
    assert this_node(Path("/a"), 8091).node != first.node


@pytest.mark.parametrize("name", ["a", "", "...", "rechner für alles", "x" * 300, "-a-"])
def test_any_name_of_a_machine_makes_a_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", name, "", "", "")))
    assert is_node_name(this_node("/a").node)
