"""The world of a test, drawn from the run's seed; the canary token is that of the end-to-end tests."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.faults.world import World
from tests.machine.fixtures import MakeHub, _no_proxies, machine, make_hub  # noqa: F401 - fixtures
from tests.machine.machine import Machine


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.variants("name", values)`: each three times in the long form, one by the seed in the short."""
    mark = metafunc.definition.get_closest_marker("variants")
    if mark is None:
        return
    name, values = mark.args
    if metafunc.config.option.torture:
        drawn = [value for value in values for _ in range(3)]
    else:
        drawn = [Random(f"{metafunc.config.option.seed}/{metafunc.definition.name}").choice(list(values))]
    metafunc.parametrize(name, drawn)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "variants(name, values): what a test of tests/faults is run with")


@pytest.fixture
def world(request: pytest.FixtureRequest, machine: Machine, make_hub: MakeHub, tmp_path: Path) -> World:  # noqa: F811
    """Its seed is made of the run's and the test's name, so a test draws the same alone and among others."""
    seed = f"{request.config.option.seed}/{request.node.name}"
    print(f"seed: {seed}")
    return World(machine, make_hub, tmp_path / "decoy", Random(seed))
