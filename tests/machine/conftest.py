"""A machine that all users can reach, and what else may be on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.fixtures import (  # noqa: F401 - fixtures
    _no_proxies,
    a_machine,
    foreign,
    gbk_locale,
    make_foreign,
    make_hub,
    open_place,
    other_user,
    repo,
)
from tests.machine.machine import Machine


@pytest.fixture
def machine(open_place: Path) -> Iterator[Machine]:  # noqa: F811
    """As everywhere, in a folder that every user can reach."""
    yield from a_machine(open_place / "machine")
