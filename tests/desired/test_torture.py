"""200 random steps and kills against a real git daemon, a real registry, and a disk that gets full.

A reader never sees half a set or a wrong byte, and after the last change it has what is desired. The short form has a
few steps; `scripts/torture desired` is the long one, and `--seed` repeats a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.desired.following import A, B, Site, expected, small
from tests.desired.world import World, small_home
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until

SHORT, LONG = 12, 200
BETWEEN = 10
"""Steps after which readers must have what is desired, once all that was away is back."""


def test_a_reader_never_sees_half_a_set(
    machine: Machine,
    make_hub: MakeHub,
    tmp_path: Path,
    seed: int,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    is_long = bool(request.config.option.torture)
    steps = (request.config.option.points or LONG) if is_long else SHORT
    done: list[str] = []
    slowest = 0.0
    with small_home(machine) as can_fill:
        world = World(machine, make_hub, tmp_path, seed, can_fill=can_fill)
        with world.running():
            world.converges()
            for number in range(1, steps + 1):
                done.append(world.step())
                assert world.reader.wrong is None, (seed, done, world.reader.wrong)
                if number % BETWEEN == 0 or number == steps:
                    slowest = max(slowest, world.converges())
            assert world.reader.wrong is None, (seed, done, world.reader.wrong)
            assert world.reader.reads
            record_property("figure:desired: steps", len(done))
            record_property("figure:desired: sets read whole beside them", world.reader.reads)
            record_property("figure:desired: slowest way to what is desired", f"{slowest:.1f} s")


def test_a_day_without_control(machine: Machine, make_hub: MakeHub, tmp_path: Path, is_long: bool) -> None:
    """Compressed: an interval is a second, and everything behind the node is gone, with kills in between. It goes on
    serving, and what it has is proven in the end."""
    repos = [small(A, 1), small(B, 2)]
    hub = make_hub(*repos)
    state = tmp_path / "desired.toml"
    state.write_text("".join(f'[[model]]\nref = "{repo.name}"\n' for repo in repos))
    site = Site(machine, "--follow", str(state), "--verify-every", "1s")
    site.start()
    site.is_ready()
    hub.stop_face("hub")
    state.unlink()
    whole = expected(*repos)
    for _ in range(3 if is_long else 1):
        before = site.status["updated"]
        assert until(lambda seen=before: site.status["updated"] > seen + 2, 20)  # type: ignore[misc]
        assert site.seen() == whole
        site.kill()
        site.start()
    status = site.becomes(lambda status: status["phase"] == "ready" and status["sources"][0]["state"] == "stale")
    assert status["observed_generation"] == status["generation"] == 1
    assert site.seen() == whole
    site.stop()
    found = machine.run("verify", "--json").ended(0).document
    assert {file["state"] for file in found["data"]["files"]} == {"ok"}, json.dumps(found)
