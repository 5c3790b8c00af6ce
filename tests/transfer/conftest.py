"""A started aria2c and its RPC, as the tests of `aria2` have them, and a hub with a repo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.aria2.daemon import PrivateDaemon
from tests.aria2.conftest import _no_proxies, daemon, endpoint, make_rpc, rpc, runtime
from tests.transfer.world import MakeWorld, World

__all__ = ["_no_proxies", "daemon", "endpoint", "make_rpc", "make_world", "rpc", "runtime"]


@pytest.fixture
def make_world(tmp_path: Path, daemon: PrivateDaemon) -> Iterator[MakeWorld]:
    with ExitStack() as stack:
        yield lambda files: World(stack, tmp_path, daemon, files)
