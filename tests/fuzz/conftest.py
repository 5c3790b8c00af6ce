"""One ground for all fuzz tests of a process: it is made anew before each case."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fuzz.ground import LONG, REPO, SHORT, Ground
from tests.hub.loopback import LoopbackHub


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, seed: int) -> Iterator[Ground]:
    option = pytestconfig.option
    most = min(LONG, option.points or LONG) if option.torture else SHORT
    with LoopbackHub([REPO], tokens={"hf_canary" + "0" * 20: frozenset()}) as hub:
        ground = Ground.made(tmp_path_factory.mktemp("fuzz"), hub, seed, most)
        yield ground
        ground.machine.stop()


@pytest.fixture(autouse=True)
def _counted(
    ground: Ground, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[None]:
    """Tell `scripts/torture` how many cases were tried."""
    ground.cases = 0
    yield
    name = request.node.name.removeprefix("test_").replace("_", " ")
    record_property(f"figure:fuzz of {name}, cases", ground.cases)
