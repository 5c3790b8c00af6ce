"""Labs where they can be made, and trials: one in the short form, three with seeds of their own in the long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fleet.lab import Lab, missing
from tests.fleet.trial import LONG, SHORT, Record, Scale, Trial

MODES = ("peers", "a scheduler")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What fails is tried in each mode with three seeds in the long form, in one by the seed in the short."""
    is_long = metafunc.config.option.torture
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize("turn", range(3 if is_long else 1))
    if "mode" in metafunc.fixturenames:
        drawn = Random(f"{metafunc.config.option.seed}/{metafunc.definition.name}").choice(MODES)
        metafunc.parametrize("mode", MODES if is_long else (drawn,))


@pytest.fixture(scope="session", autouse=True)
def _can_make_a_lab() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def scale(is_long: bool) -> Scale:
    return LONG if is_long else SHORT


@pytest.fixture(scope="module")
def machines(scale: Scale) -> Iterator[Lab]:
    """The machines of all trials of a module."""
    with Lab.open(scale.nodes + 1, rate=scale.rate, origin_rate=scale.origin_rate) as lab:
        yield lab


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where big files are made once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def led(trial: Trial, mode: str, record_property: Record) -> Trial:
    """A trial whose nodes know each other as peers, or have a scheduler."""
    record_property("fleet:mode", mode)
    if mode != MODES[0]:
        trial.schedule(8091)
        trial.fleet = f"{trial.head.address}:8091"
    return trial


@pytest.fixture
def trial(
    machines: Lab,
    scale: Scale,
    data: Path,
    turn: int,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> Iterator[Trial]:
    """A trial of its own, drawn from the run's seed, the test's name and its turn."""
    name = request.node.originalname
    seed = f"{request.config.option.seed}/{name}/{turn}"
    print(f"seed: {seed}")
    record_property("fleet:what", name.removeprefix("test_").replace("_", " "))
    with Trial.open(machines, scale, data, Random(seed), record_property) as trial:
        yield trial
