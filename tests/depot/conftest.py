"""A hub, a cache, and depots that fetch from one into the other with a real aria2c."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.aria2.conftest import _no_proxies, runtime
from tests.depot.world import House, MakeHouse

__all__ = ["_no_proxies", "make_house", "runtime"]


@pytest.fixture
def make_house(tmp_path: Path, runtime: Path) -> Iterator[MakeHouse]:
    with ExitStack() as stack:
        yield lambda files: House(stack, tmp_path, runtime, files)
