"""A fleet of nodes in one process, with a hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.aria2.conftest import _no_proxies, runtime
from tests.swarm.peers.nodes import Fleet, MakeFleet

__all__ = ["_no_proxies", "make_fleet", "runtime"]


@pytest.fixture
def make_fleet(tmp_path: Path, runtime: Path) -> Iterator[MakeFleet]:
    with ExitStack() as stack:
        yield lambda files: Fleet(stack, tmp_path, runtime, files)
