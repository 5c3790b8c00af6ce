"""A machine that all users can reach, and what else may be on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import _no_proxies, assert_unseen, make_hub, repo  # noqa: F401 - fixtures
from tests.e2e.machine import Machine
from tests.machine.fixtures import foreign, gbk_locale, make_foreign, open_place, other_user  # noqa: F401 - fixtures


@pytest.fixture
def machine(open_place: Path) -> Iterator[Machine]:  # noqa: F811
    """As in tests/e2e, in a folder that every user can reach."""
    made = Machine(open_place / "machine", "hf_canary" + secrets.token_hex(12))
    try:
        yield made
        made.kill_running()
        left = [] if made.aria2_ended() else made.aria2()
    finally:
        made.stop()
    assert left == [], "an aria2c outlived its run"
    assert_unseen(made)
