"""Pulls in company: what is refused before anything is opened, and what a pull alone loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.app.compose import open_cache
from orchestrator.app.opening import moving
from orchestrator.app.peers.company import company, moves, passing_node
from orchestrator.core.files import Digest
from orchestrator.errors import ConfigError
from orchestrator.events import Event, PeersKnown
from orchestrator.settings import Settings, load
from orchestrator.swarm.holdings import Holding, is_node_name
from orchestrator.swarm.peers.table import NeighbourView
from orchestrator.swarm.units import Bits
from orchestrator.system.signals import Stop
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo

REPO = Path(__file__).parents[3]
KEY = "a-key-of-a-fleet-for-tests"


def settings(folder: Path, **environment: str) -> Settings:
    environ = {"HF_HOME": str(folder), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **environment}
    return load({}, environ=environ, folder=folder, personal=folder / "none.toml")


def test_a_name_of_a_node_is_one_and_differs_each_time() -> None:
    names = {passing_node("").node for _ in range(4)}
    assert len(names) > 1
    assert all(map(is_node_name, names))


def test_a_peer_that_waits_for_a_dispute_to_be_settled_is_stayed_for_as_one_that_gets_bytes_is() -> None:
    digest = Digest.parse("sha256:" + "ab" * 32)

    def seen(*, claims: frozenset[str] = frozenset(), is_whole: bool = False) -> NeighbourView:
        holding = Holding(digest, 8 << 20, Bits.full(2), is_whole=is_whole, claims=claims)
        return NeighbourView("a", "http://127.0.0.1:1", 100.0, 1, {digest: holding}, {digest: 100.0})

    disputed = frozenset({"b"})
    assert moves(seen(), 101.0)
    assert not moves(seen(), 200.0)
    assert moves(seen(claims=disputed), 200.0)
    assert not moves(seen(claims=disputed, is_whole=True), 200.0)


def test_without_a_key_the_next_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = settings(tmp_path, GLM_ARIA_FLEET_PEERS="127.0.0.1:1")
    with (
        open_cache(found) as cache,
        pytest.raises(ConfigError) as caught,
        moving(found, cache, Stop(), print),
    ):
        pass
    assert "glm-aria fleet key" in (caught.value.hint or "")


def test_a_run_offline_is_in_no_company(tmp_path: Path) -> None:
    found = settings(tmp_path, GLM_ARIA_FLEET_LAN="1", GLM_ARIA_OFFLINE="1")
    with open_cache(found) as cache, moving(found, cache, Stop(), print) as mover:
        assert mover.company is None


def test_the_address_for_others_is_told(tmp_path: Path) -> None:
    found = settings(
        tmp_path, GLM_ARIA_FLEET_KEY=KEY, GLM_ARIA_FLEET_PEERS="127.0.0.1:9", GLM_ARIA_FLEET_LISTEN="127.0.0.1:0"
    )
    told: list[Event] = []
    with open_cache(found) as cache, company(found, cache, Stop(), told.append):
        pass
    assert isinstance(told[0], PeersKnown)
    assert told[0].address.startswith("http://127.0.0.1:")
    assert told[0].nodes == ()


def test_a_port_that_is_taken_is_exchanged_for_a_free_one(tmp_path: Path) -> None:
    found = settings(tmp_path, GLM_ARIA_FLEET_KEY=KEY, GLM_ARIA_FLEET_PEERS="127.0.0.1:9")
    told: list[Event] = []
    with (
        open_cache(found) as cache,
        company(found, cache, Stop(), told.append),
        company(found, cache, Stop(), told.append),
    ):
        addresses = {event.address for event in told if isinstance(event, PeersKnown)}
    assert len(addresses) == 2


def test_a_pull_alone_loads_nothing_of_a_fleet(tmp_path: Path) -> None:
    program = """
import sys
from orchestrator.cli.main import main
assert main(["pull", "org/m", "--no-mirrors", "-q"]) == 0
heavy = ("starlette", "uvicorn", "zeroconf")
print([name for name in sys.modules if "swarm" in name or name in heavy], file=sys.stderr)
"""
    with LoopbackHub([Repo("model", "org/m", tiny_model(seed=1, shard_size=100_000))]) as hub:
        env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        folder = {name: str(tmp_path) for name in ("HOME", "HF_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")}
        run = subprocess.run(
            [sys.executable, "-c", program],
            env=env | folder | {"PYTHONPATH": str(REPO), "HF_ENDPOINT": hub.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert run.stderr == "[]\n"
