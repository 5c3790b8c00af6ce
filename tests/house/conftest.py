"""A machine, a Hub with two mirrors, and how many steps a day has."""

from __future__ import annotations

import pytest

from tests.machine.fixtures import _no_proxies, machine, make_hub  # noqa: F401 - fixtures

LONG, SHORT = 2000, 24


@pytest.fixture
def steps(pytestconfig: pytest.Config) -> int:
    """The number of random steps."""
    option = pytestconfig.option
    return min(LONG, option.points or LONG) if option.torture else SHORT
