"""A machine that all users can reach, and what else may be on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import _no_proxies, a_machine, make_hub, repo  # noqa: F401 - fixtures
from tests.e2e.machine import Machine
from tests.machine.fixtures import foreign, gbk_locale, make_foreign, open_place, other_user  # noqa: F401 - fixtures


@pytest.fixture
def machine(open_place: Path) -> Iterator[Machine]:  # noqa: F811
    """As in tests/e2e, in a folder that every user can reach."""
    yield from a_machine(open_place / "machine")
