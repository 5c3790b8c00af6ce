"""Skips where no lab can be made."""

from __future__ import annotations

import pytest

from tests.fleet.lab import missing


@pytest.fixture(scope="session", autouse=True)
def _can_make_a_lab() -> None:
    if reason := missing():
        pytest.skip(reason)
