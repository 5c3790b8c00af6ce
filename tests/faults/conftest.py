"""The world of a test, drawn from the run's seed; the canary token is that of the end-to-end tests."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.e2e.conftest import MakeHub, _no_proxies, machine, make_hub  # noqa: F401 - fixtures
from tests.e2e.machine import Machine
from tests.faults.world import World


@pytest.fixture
def world(request: pytest.FixtureRequest, machine: Machine, make_hub: MakeHub, tmp_path: Path) -> World:  # noqa: F811
    """Its seed is made of the run's and the test's name, so a test draws the same alone and among others."""
    seed = f"{request.config.option.seed}/{request.node.name}"
    print(f"seed: {seed}")
    return World(machine, make_hub, tmp_path / "decoy", Random(seed))
