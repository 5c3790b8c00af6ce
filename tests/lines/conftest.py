"""A line for each test, where this machine can have one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lines.emulator import Lines, missing


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the emulator is built, once for all tests."""
    return tmp_path_factory.mktemp("line")


@pytest.fixture
def make_lines(programs: Path) -> Iterator[Callable[[int], Lines]]:
    if reason := missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        yield lambda servers: stack.enter_context(Lines.open(programs, servers))


@pytest.fixture
def lines(make_lines: Callable[[int], Lines]) -> Lines:
    """A client and one server."""
    return make_lines(1)
