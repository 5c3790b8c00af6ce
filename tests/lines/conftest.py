"""One world of lines for all tests of a process, where this machine can have one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lines.emulator import Lines, missing


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    if reason := missing():
        pytest.skip(reason)
    with Lines.open(tmp_path_factory.mktemp("line"), servers=2) as lines:
        yield lines


@pytest.fixture
def lines(world: Lines) -> Lines:
    """A client and two servers; nothing is shaped yet."""
    world.free()
    return world
